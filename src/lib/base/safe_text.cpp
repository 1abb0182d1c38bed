#include "base/safe_text.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace stagepost {
namespace {

/// Length of the well-formed multi-byte UTF-8 sequence at the start of `s`, or 0.
std::size_t utf8_sequence(std::string_view s) {
  for (std::size_t length = 2; length <= 4 && length <= s.size(); ++length) {
    if (text::is_utf8(s.substr(0, length))) { return length; }
  }
  return 0;
}

}  // namespace

LogText::LogText(PeerBytes bytes, std::size_t limit_bytes, Utf8 utf8) {
  std::string_view rest = bytes.unchecked();
  const bool cut = rest.size() > limit_bytes;
  if (cut) { rest = rest.substr(0, limit_bytes); }
  text_.reserve(rest.size() + 3);
  // Most text is plain.
  const auto plain = static_cast<std::size_t>(std::ranges::find_if_not(rest, text::is_printable) - rest.begin());
  text_ += rest.substr(0, plain);
  rest.remove_prefix(plain);
  while (!rest.empty()) {
    std::size_t length = 1;
    if (text::is_printable(rest.front())) {
      text_ += rest.front();
    } else if (static_cast<unsigned char>(rest.front()) >= 0x80 && utf8 == Utf8::keep &&
               (length = utf8_sequence(rest)) > 0) {
      text_ += rest.substr(0, length);
    } else {
      length = 1;
      text_ += '?';
    }
    rest.remove_prefix(length);
  }
  if (cut) { text_ += "..."; }
}

std::string printable(std::string_view bytes) { return LogText(PeerBytes(bytes)).str(); }

ShellWord::ShellWord(PeerBytes bytes, std::string_view allowed) : text_(bytes.unchecked()) {
  for (char& c : text_) {
    if (allowed.find(c) == std::string_view::npos) { c = '_'; }
  }
}

}  // namespace stagepost
