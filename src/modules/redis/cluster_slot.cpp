// See cluster_slot.hpp.
#include "cluster_slot.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace stagepost::maps::redis {
namespace {

constexpr std::size_t kHostLimitBytes = 255;

/// CRC16/XMODEM.
std::uint16_t crc16(std::string_view bytes) {
  std::uint16_t crc = 0;
  for (const char c : bytes) {
    crc = static_cast<std::uint16_t>(crc ^ (static_cast<unsigned>(static_cast<unsigned char>(c)) << 8U));
    for (int bit = 0; bit < 8; ++bit) {
      const bool high = (crc & 0x8000U) != 0;
      crc = static_cast<std::uint16_t>(static_cast<unsigned>(crc) << 1U);
      if (high) { crc = static_cast<std::uint16_t>(crc ^ 0x1021U); }
    }
  }
  return crc;
}

}  // namespace

std::uint16_t slot_of(std::string_view key) {
  if (const std::size_t open = key.find('{'); open != std::string_view::npos) {
    const std::size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) { key = key.substr(open + 1, close - open - 1); }
  }
  return crc16(key) % kSlots;
}

std::optional<Redirect> parse_redirect(std::string_view error) {
  const auto words = text::split_exact(error, ' ');
  if (words.size() != 3 || (words[0] != "MOVED" && words[0] != "ASK")) { return std::nullopt; }
  const auto slot = text::parse_unsigned(words[1]);
  const std::size_t colon = words[2].rfind(':');
  if (!slot || *slot >= kSlots || colon == std::string_view::npos) { return std::nullopt; }
  const std::string_view host = words[2].substr(0, colon);
  const std::string_view port = words[2].substr(colon + 1);
  const auto number = text::parse_unsigned(port);
  if (!number || *number == 0 || *number > 65535 || host.size() > kHostLimitBytes) { return std::nullopt; }
  if (!std::ranges::all_of(host,
                           [](char c) { return text::is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':'; })) {
    return std::nullopt;
  }
  return Redirect{.once = words[0] == "ASK",
                  .slot = static_cast<std::uint16_t>(*slot),
                  .host = std::string(host),
                  .port = std::string(port)};
}

}  // namespace stagepost::maps::redis
