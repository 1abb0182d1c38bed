// Where mail goes: nexthop texts, and the order in which a destination's servers are tried. Pure.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "delivery/smtp/settings.hpp"
#include "net/endpoint.hpp"

namespace stagepost::smtp_client {

/// One element of a nexthop: "host", "host:port", "[host]:port", "unix:path" or "inet:host:port" (the last two for
/// LMTP; an LMTP host is never looked up as MX).
struct Destination {
  std::string text;  ///< as configured; key of policy tables and the connection cache
  bool is_unix = false;
  std::string path;  ///< socket path, relative to queue_directory
  std::string host;  ///< without brackets, ASCII (IDNA)
  std::uint16_t port = 25;
  bool lookup_mx = true;
};
/// Error: empty, malformed, unknown port. Text for the log: "bad destination: ...".
[[nodiscard]] Result<Destination> parse_destination(std::string_view text, const Settings& settings);
/// The elements of a nexthop list, separated by comma or white space (not inside brackets).
[[nodiscard]] std::vector<std::string> split_destinations(std::string_view nexthop);

/// A server that may be tried.
struct Candidate {
  std::string host;  ///< MX name or the destination's own name
  net::IpAddress address;
  std::uint16_t preference = 0;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// Sorted by preference. Within one preference: shuffled if `randomize_addresses`, then IPv4 and IPv6 by
/// address_preference ("any" leaves the order).
void order_candidates(std::vector<Candidate>& candidates, const Settings& settings, std::mt19937& random);
/// Applies smtp_mx_address_limit; with balance_protocols a family that would be cut off completely keeps half.
void limit_candidates(std::vector<Candidate>& candidates, const Settings& settings);

/// Who this machine is, for loop detection.
struct Self {
  std::string myhostname;
  std::vector<net::IpAddress> addresses;  ///< inet_interfaces and proxy_interfaces
};
[[nodiscard]] bool is_self(const Candidate& candidate, const Self& self);
/// RFC 5321 §5.1: when this host is among the servers, those of its preference and worse are dropped. True: it was
/// there.
bool drop_self_and_worse(std::vector<Candidate>& candidates, const Self& self);

/// "mx.example[192.0.2.1]"; for a UNIX-domain socket "myhostname[private/path]".
[[nodiscard]] std::string host_and_address(std::string_view host, std::string_view address);

}  // namespace stagepost::smtp_client
