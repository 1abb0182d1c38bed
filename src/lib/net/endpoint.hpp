// IP addresses, address:port endpoints and the host:port texts of configuration. Pure.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <variant>

#include "base/result.hpp"

namespace stagepost::net {

enum class Family : std::uint8_t { ipv4, ipv6 };

/// An IPv4 or IPv6 address. An IPv4-mapped IPv6 address becomes the IPv4 address it stands for.
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  /// "192.0.2.1" or "2001:db8::1" (no brackets, no zone); nullopt for anything else.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
  [[nodiscard]] static IpAddress from_bytes(Family family, const unsigned char* bytes);

  [[nodiscard]] Family family() const { return family_; }
  [[nodiscard]] std::size_t size_bytes() const { return family_ == Family::ipv4 ? 4 : 16; }
  [[nodiscard]] const std::array<unsigned char, 16>& bytes() const { return bytes_; }
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_any() const;
  /// First `prefix_bits` bits of both are equal (and the families).
  [[nodiscard]] bool matches(const IpAddress& network, unsigned prefix_bits) const;
  auto operator<=>(const IpAddress&) const = default;

 private:
  Family family_ = Family::ipv4;
  std::array<unsigned char, 16> bytes_{};
};

/// An address with a TCP port.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  /// From accept/getpeername; nullopt for families other than IP.
  [[nodiscard]] static std::optional<Endpoint> from_sockaddr(const sockaddr* address);
  [[nodiscard]] socklen_t to_sockaddr(sockaddr_storage& storage) const;
  /// "[127.0.0.1]:25" as Postfix shows it in relay= and log lines.
  [[nodiscard]] std::string bracketed() const;
  auto operator<=>(const Endpoint&) const = default;
};

/// "host:port", "[host]:port", "host", "[2001:db8::1]", ":port", "port" as master.cf, relayhost and nexthops write it.
struct HostPort {
  std::string host;                      ///< without brackets; may be empty
  std::string port;                      ///< number or service name; may be empty
  bool bracketed = false;                ///< no MX look-up for this host
  enum class Bare { is_host, is_port };  ///< what a text without colon is
  [[nodiscard]] static Result<HostPort> parse(std::string_view text, Bare bare);
};

/// Port number of "25" or "smtp" (services database); 0 is refused.
[[nodiscard]] Result<std::uint16_t> resolve_port(std::string_view port);

}  // namespace stagepost::net
