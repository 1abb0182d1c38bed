// From a parsed reply to the answer a caller can act on: status, alias chain, host name checks. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dns/message.hpp"

namespace stagepost::dns {

enum class Status : std::uint8_t {
  found,
  not_found,  ///< the name does not exist (NXDOMAIN)
  no_data,    ///< the name exists without records of this type
  temporary,  ///< no usable reply: time-out, SERVFAIL, REFUSED, malformed
  invalid,    ///< the reply is there but its names are not host names, or the question can't be asked
};

struct Answer {
  Status status = Status::temporary;
  /// Only of the type asked for, CNAME chain removed; not empty when found. In the order of the reply.
  std::vector<Record> records;
  /// The reply had the AD bit: validated, if the path to the resolver is trusted.
  bool authentic = false;
  /// Owner of the records after CNAMEs.
  std::string canonical_name;
  /// What Postfix says: "Host not found", "Host not found, try again", "Host found but no data record of requested
  /// type", "Malformed or unexpected name server reply", "Invalid name". Empty when found.
  std::string reason;
  /// Seconds the answer may be kept; 0 for temporary ones.
  std::uint32_t ttl = 0;
  /// The reply ends in an alias whose target it does not have: ask for canonical_name.
  bool dangling_alias = false;
};

/// Letters, digits, '-' and '_' in labels of at most 63 octets, not all numeric; the root ("") for MX only.
[[nodiscard]] bool is_host_name(std::string_view name);
/// The answer to `name`/`type` in `message`; `name` must be what was asked.
[[nodiscard]] Answer interpret(const Message& message, std::string_view name, Type type);
/// An answer without records and with the reason that belongs to `status`.
[[nodiscard]] Answer make_failure(Status status, std::string_view name);
/// "Host or domain name not found. Name service error for name=x type=MX: Host not found"
[[nodiscard]] std::string describe_failure(std::string_view name, std::string_view type, std::string_view reason);

}  // namespace stagepost::dns
