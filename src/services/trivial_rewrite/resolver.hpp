// Resolving a recipient to (transport, nexthop, recipient, address class) as trivial-rewrite(8), transport(5) and
// ADDRESS_CLASS_README describe it. Which domains and tables there are is behind Lookups, so the order of decisions is
// tested without files.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "clients/rewrite.hpp"
#include "mail/rewrite.hpp"
#include "net/task.hpp"

namespace stagepost::trivial_rewrite {

/// Parameters, in the variant for mail or in that for address verification probes.
struct ResolverRules {
  mail::ResolveOptions routing;  ///< is_local_domain is not used; string_views point into the snapshot
  std::string myhostname;
  std::string local_transport;
  std::string virtual_transport;
  std::string relay_transport;
  std::string default_transport;
  std::string relayhost;
  std::string error_transport = "error";         ///< error_service_name
  std::string null_sender_relayhost_key = "<>";  ///< empty_address_relayhost_maps_lookup_key
  std::string null_sender_transport_key = "<>";  ///< empty_address_default_transport_maps_lookup_key
  bool show_user_unknown_table_name = true;
};

/// An Error is temporary: the answer becomes Outcome::retry.
class Lookups {
 public:
  using Answer = Result<std::optional<std::string>>;
  virtual ~Lookups() = default;
  /// mydestination, or an address literal of inet_interfaces and proxy_interfaces. `domain` is in lower case.
  [[nodiscard]] virtual net::Task<Result<bool>> is_local(std::string domain) = 0;
  [[nodiscard]] virtual net::Task<Result<bool>> is_virtual_alias(std::string domain) = 0;
  [[nodiscard]] virtual net::Task<Result<bool>> is_virtual_mailbox(std::string domain) = 0;
  [[nodiscard]] virtual net::Task<Result<bool>> is_relay(std::string domain) = 0;
  /// transport_maps, in the order of transport(5). `address` is in external form.
  [[nodiscard]] virtual net::Task<Answer> transport(std::string address) = 0;
  /// relocated_maps; `local`: the domain's users may be listed without domain.
  [[nodiscard]] virtual net::Task<Answer> relocated(std::string address, bool local) = 0;
  /// One key of sender_dependent_relayhost_maps.
  [[nodiscard]] virtual net::Task<Answer> sender_relayhost(std::string key) = 0;
  /// One key of sender_dependent_default_transport_maps.
  [[nodiscard]] virtual net::Task<Answer> sender_transport(std::string key) = 0;
  /// A domain that is in two lists of which it may be in one only.
  virtual void in_both(std::string_view domain, std::string_view first, std::string_view second) = 0;
};

/// `sender` and `recipient` in internal form. Both references outlive the call.
[[nodiscard]] net::Task<clients::ResolveReply> resolve(const ResolverRules& rules, Lookups& lookups, std::string sender,
                                                       std::string recipient);

}  // namespace stagepost::trivial_rewrite
