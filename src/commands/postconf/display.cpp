#include "commands/postconf/display.hpp"

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

}  // namespace stagepost::postconf
