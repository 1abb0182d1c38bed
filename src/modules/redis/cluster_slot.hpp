// Redis Cluster, as far as a client must know it (Redis cluster specification): which of 16384 slots a key is in, and
// what a node says that does not have the slot. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost::maps::redis {

inline constexpr std::uint16_t kSlots = 16384;

/// CRC16 of the key, or of what is between its first '{' and the '}' behind it, unless that is empty.
[[nodiscard]] std::uint16_t slot_of(std::string_view key);

struct Redirect {
  bool once = false;  ///< ASK: for this command only, after ASKING
  std::uint16_t slot = 0;
  std::string host;  ///< empty: the host that said so
  std::string port;
};

/// "MOVED 3999 192.0.2.1:6381", "ASK 3999 2001:db8::1:6381". nullopt: another error.
[[nodiscard]] std::optional<Redirect> parse_redirect(std::string_view error);

}  // namespace stagepost::maps::redis
