// DNS messages (RFC 1035, RFC 6891): builds one-question queries and parses replies. Pure: bytes in, values out.
// Replies come from the network, so every count, length and compression pointer is bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "net/endpoint.hpp"

namespace stagepost::dns {

enum class Type : std::uint16_t {
  a = 1,
  ns = 2,
  cname = 5,
  soa = 6,
  ptr = 12,
  mx = 15,
  txt = 16,
  aaaa = 28,
  srv = 33,
  tlsa = 52,
};
/// "MX", "AAAA" ...; "TYPE99" for others.
[[nodiscard]] std::string type_name(Type type);

enum class Rcode : std::uint8_t { no_error = 0, form_err = 1, serv_fail = 2, nx_domain = 3, not_imp = 4, refused = 5 };

/// RFC 6698 §2.1.
struct Tlsa {
  std::uint8_t usage = 0;
  std::uint8_t selector = 0;
  std::uint8_t matching_type = 0;
  std::string data;  ///< raw bytes
  auto operator<=>(const Tlsa&) const = default;
};

/// One resource record of class IN and a type we know. Names have no trailing dot; labels with bytes other than
/// printable ASCII, or with a dot inside, are escaped as "\ddd" (RFC 4343 §2.1), so they never pass for a host name.
struct Record {
  std::string owner;
  Type type = Type::a;
  std::uint32_t ttl = 0;  ///< seconds; at most 2^31-1
  /// MX preference or SRV priority.
  std::uint16_t preference = 0;
  std::uint16_t weight = 0;  ///< SRV
  std::uint16_t port = 0;    ///< SRV
  /// Name for MX, CNAME, PTR, NS, SRV ("" is the root: null MX), joined strings for TXT.
  std::string value;
  net::IpAddress address;  ///< A, AAAA
  Tlsa tlsa;
};

struct Limits {
  std::size_t records = 100;  ///< answers kept; the rest are counted in Message::dropped
  std::size_t message_bytes = 65535;
};

struct Message {
  std::uint16_t id = 0;
  bool is_reply = false;
  bool truncated = false;
  bool authentic = false;  ///< AD bit
  Rcode rcode = Rcode::no_error;
  std::string question_name;
  std::uint16_t question_type = 0;
  std::vector<Record> answers;
  std::size_t dropped = 0;
  /// RFC 2308 §5: min(TTL, MINIMUM) of the SOA in the authority section.
  std::optional<std::uint32_t> negative_ttl;
};

struct Query {
  std::uint16_t id = 0;
  std::string name;
  Type type = Type::a;
  bool dnssec = false;                  ///< set the DO bit
  std::uint16_t udp_size_bytes = 1232;  ///< announced by EDNS
};

/// A query with RD, AD and an OPT record as its last 11 bytes. Error: an empty label, a label over 63 or a name over
/// 255 octets, bytes that are not printable ASCII.
[[nodiscard]] Result<std::string> encode_query(const Query& query);

/// Error: anything malformed; a reply is used as a whole or not at all.
[[nodiscard]] Result<Message> parse_message(std::string_view bytes, const Limits& limits = {});

/// Follows the CNAME records of `message` from `name` (at most 16) and returns the final owner.
[[nodiscard]] std::string canonical_name(const Message& message, std::string_view name);

/// "192.0.2.1" gives "1.2.0.192.in-addr.arpa"; IPv6 nibbles under ip6.arpa.
[[nodiscard]] std::string reverse_name(const net::IpAddress& address);
/// The reversed address without the zone, for DNSBL queries: "1.2.0.192".
[[nodiscard]] std::string reverse_labels(const net::IpAddress& address);

}  // namespace stagepost::dns
