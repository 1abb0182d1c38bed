// See socketmap_protocol.hpp.
#include "maps/socketmap_protocol.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps {

std::string socketmap_request(std::string_view map_name, std::string_view key) {
  return fmt::format("{}:{} {},", map_name.size() + 1 + key.size(), map_name, key);
}

Result<std::optional<Netstring>> parse_netstring(std::string_view bytes, std::size_t limit_bytes) {
  // Leading zeros are accepted, but not without end.
  constexpr std::size_t kLengthDigits = 20;
  std::size_t length = 0;
  std::size_t digits = 0;
  while (digits < bytes.size() && text::is_digit(bytes[digits])) {
    length = length * 10 + static_cast<std::size_t>(bytes[digits] - '0');
    ++digits;
    if (length > limit_bytes || digits > kLengthDigits) { return failure("input exceeds size limit"); }
  }
  if (digits == bytes.size()) { return std::nullopt; }
  if (digits == 0 || bytes[digits] != ':') { return failure("input format error"); }
  const std::size_t whole = digits + 1 + length + 1;
  if (bytes.size() < whole) { return std::nullopt; }
  if (bytes[whole - 1] != ',') { return failure("input format error"); }
  return Netstring{.payload = bytes.substr(digits + 1, length), .size_bytes = whole};
}

Result<SocketmapReply> parse_socketmap_reply(std::string_view payload) {
  using Status = SocketmapReply::Status;
  static constexpr std::array<std::pair<std::string_view, Status>, 5> kWords{{{"OK", Status::ok},
                                                                              {"NOTFOUND", Status::not_found},
                                                                              {"TEMP", Status::temporary},
                                                                              {"TIMEOUT", Status::timeout},
                                                                              {"PERM", Status::permanent}}};
  const std::size_t blank = payload.find(' ');
  const std::string_view word = payload.substr(0, blank);
  const std::string_view rest = blank == std::string_view::npos ? std::string_view() : payload.substr(blank + 1);
  const auto* known = std::ranges::find(kWords, word, &std::pair<std::string_view, Status>::first);
  // A value with NUL would be cut there by whoever keeps it as a C string.
  if (known == kWords.end() || payload.contains('\0')) {
    return failure(fmt::format("socketmap server unknown error{}{}", rest.empty() ? "" : ": ", printable(rest)));
  }
  return SocketmapReply{
      .status = known->second, .text = std::string(rest), .has_text = blank != std::string_view::npos};
}

}  // namespace stagepost::maps
