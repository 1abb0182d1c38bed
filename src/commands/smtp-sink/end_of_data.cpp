#include "commands/smtp-sink/end_of_data.hpp"

namespace stagepost::smtp_sink {
namespace {

constexpr std::string_view kEnd = "\r\n.\r\n";

}  // namespace

std::optional<std::size_t> EndOfData::find(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    if (matched_ == 0) {
      // Nothing seen: go from line end to line end, which memchr does much faster than a loop over the bytes.
      at = bytes.find('\r', at);
      if (at == std::string_view::npos) { return std::nullopt; }
    }
    const char byte = bytes[at++];
    if (byte == kEnd[matched_]) {
      if (++matched_ == kEnd.size()) {
        matched_ = 2;
        return at;
      }
    } else {
      matched_ = byte == '\r' ? 1 : 0;
    }
  }
  return std::nullopt;
}

}  // namespace stagepost::smtp_sink
