#include "commands/postconf/display.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::postconf {

std::string collapse_space(std::string_view text) {
  std::string result;
  for (const std::string_view word : text::split(text, " \t\r\n\v\f")) {
    if (!result.empty()) { result += ' '; }
    result += word;
  }
  return result;
}

std::string format_setting(std::string_view name, std::string_view value, const Style& style) {
  constexpr std::size_t kWidth = 80;
  std::string result;
  if (!style.hide_name) {
    result = name;
    if (style.hide_value) { return result + "\n"; }
    result += " =";
  }
  std::size_t width = result.size();
  bool first = style.hide_name;
  for (const std::string_view word : text::split(value, " \t\r\n\v\f")) {
    if (first) {
      width += word.size();
    } else if (style.fold && width + 1 + word.size() > kWidth) {
      result += "\n    ";
      width = 4 + word.size();
    } else {
      result += ' ';
      width += 1 + word.size();
    }
    first = false;
    result += word;
  }
  return result + "\n";
}

std::string json_string(std::string_view text) {
  std::string result = "\"";
  while (!text.empty()) {
    std::size_t length = 1;  // of the character in front
    const auto lead = static_cast<unsigned char>(text.front());
    if (lead >= 0x80) {
      length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
      if (length > text.size() || !text::is_utf8(text.substr(0, length))) {
        result += "\xef\xbf\xbd";
        text.remove_prefix(1);
        continue;
      }
      result += text.substr(0, length);
    } else if (lead == '"' || lead == '\\') {
      result += '\\';
      result += text.front();
    } else if (lead < 0x20 || lead == 0x7f) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(lead));
    } else {
      result += text.front();
    }
    text.remove_prefix(length);
  }
  return result + '"';
}

std::string json_member(std::string_view name, std::string_view value) {
  return json_string(name) + ": " + json_string(value);
}

}  // namespace stagepost::postconf
