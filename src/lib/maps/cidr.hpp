// IP addresses as bits, and network blocks. For matching only; endpoints and sockets are in net.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::maps {

enum class Family : std::uint8_t { ipv4, ipv6 };

struct IpBits {
  Family family = Family::ipv4;
  std::array<std::uint8_t, 16> bytes{};  ///< network order; IPv4 uses the first four
  auto operator<=>(const IpBits&) const = default;

  [[nodiscard]] unsigned width() const { return family == Family::ipv4 ? 32 : 128; }
  /// Dotted quad without leading zeros, or any IPv6 form of RFC 4291 §2.2; no scope, no brackets. nullopt otherwise.
  [[nodiscard]] static std::optional<IpBits> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  /// The first `bits` bits, the rest zero.
  [[nodiscard]] IpBits prefix(unsigned bits) const;
};

struct Network {
  IpBits base;
  unsigned prefix_bits = 0;
  auto operator<=>(const Network&) const = default;

  /// "address", "network/bits", or either with the address in []. Errors: bad address, bits out of range, host bits
  /// set (the message suggests the network, as Postfix's does).
  [[nodiscard]] static Result<Network> parse(std::string_view pattern);
  [[nodiscard]] bool contains(const IpBits& address) const;
};

}  // namespace stagepost::maps
