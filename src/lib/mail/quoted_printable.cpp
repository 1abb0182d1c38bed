// See quoted_printable.hpp.
#include "mail/quoted_printable.hpp"

#include <string_view>
#include <utility>

namespace stagepost::mail {
namespace {

// RFC 2045 allows 76 with the '=' of a soft line break; Postfix breaks here.
constexpr std::size_t kLineOctets = 73;
constexpr std::string_view kHex = "0123456789ABCDEF";

}  // namespace

void QuotedPrintableEncoder::put(char c, bool encoded) {
  const std::size_t length = encoded ? 3 : 1;
  if (line_.size() + length > kLineOctets) {
    line_ += '=';
    sink_({line_, LineEnd::complete});
    line_.clear();
  }
  if (encoded) {
    const auto byte = static_cast<unsigned char>(c);
    line_ += '=';
    line_ += kHex[byte >> 4U];
    line_ += kHex[byte & 0xFU];
  } else {
    line_ += c;
  }
}

void QuotedPrintableEncoder::encode(Line line) {
  for (const char c : line.text) {
    if (held_space_ != '\0') { put(std::exchange(held_space_, '\0'), false); }
    if (c == ' ' || c == '\t') {
      held_space_ = c;
    } else {
      put(c, c < '!' || c > '~' || c == '=');
    }
  }
  if (line.end == LineEnd::complete) {
    if (held_space_ != '\0') { put(std::exchange(held_space_, '\0'), true); }
    sink_({line_, LineEnd::complete});
    line_.clear();
  }
}

void QuotedPrintableEncoder::finish() {
  if (held_space_ != '\0') { put(std::exchange(held_space_, '\0'), true); }
  if (!line_.empty()) {
    // The encoded text has no line end here; the soft break says so.
    line_ += '=';
    sink_({line_, LineEnd::complete});
    line_.clear();
  }
}

}  // namespace stagepost::mail
