// What becomes of a resolved recipient: the transport and nexthop it is delivered by, after content filters, suspended
// transports and addresses that need no delivery; and the grouping of a message's recipients into delivery requests.
// Pure.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "clients/recipient.hpp"
#include "clients/rewrite.hpp"
#include "mail/dsn.hpp"

namespace stagepost::qmgr {

/// Services that do not deliver: they report what the nexthop says ("5.1.3 bad address syntax"), as a bounce or as a
/// deferral.
inline constexpr std::string_view kRetryTransport = "retry";

struct RoutingRules {
  std::string double_bounce_sender = "double-bounce";
  std::vector<std::string> defer_transports;
  std::string error_transport = "error";  ///< parameter error_service_name
  std::string default_filter_nexthop;
  bool allow_min_user = false;
};

struct Route {
  enum class Kind : unsigned char {
    deliver,
    discard  ///< mail to double_bounce_sender: logged and dropped, which ends loops of bounces
  };
  Kind kind = Kind::deliver;
  std::string transport;
  std::string nexthop;
  std::string recipient;  ///< internal form
};

/// FILTER action or content_filter: "transport:nexthop"; the recipient is not resolved.
[[nodiscard]] Route filter_route(std::string_view filter, std::string_view recipient, const RoutingRules& rules);

enum class DeferTransports : unsigned char { honour, ignore };
/// The route of a recipient that trivial-rewrite resolved. `ignore` after a flush ("sendmail -q").
[[nodiscard]] Route resolved_route(const clients::ResolveReply& reply, const RoutingRules& rules,
                                   DeferTransports deferral);
/// The route to the retry service, which defers with `status`.
[[nodiscard]] Route deferring_route(const dsn::Status& status, std::string_view recipient);

/// One recipient with its route.
struct RoutedRecipient {
  clients::RecipientRecord recipient;
  Route route;
};

/// One request to a delivery agent.
struct Delivery {
  std::string transport;
  std::string nexthop;
  /// What concurrency is counted by: the nexthop, or the recipient where requests carry one each.
  std::string destination;
  std::vector<clients::RecipientRecord> recipients;
};

struct GroupLimits {
  /// *_destination_recipient_limit of a transport; 0: none.
  std::function<std::size_t(std::string_view transport)> recipients;
  /// Octets of the recipients of one request, so that its message stays far below ipc::kMaxMessageBytes.
  std::size_t octets = 256 * 1024;
  /// VERP: every recipient has a sender address of its own, so each goes alone (destinations are counted as ever).
  bool one_to_a_request = false;
};

struct Grouped {
  std::vector<Delivery> deliveries;
  /// Same recipient, transport and nexthop as an earlier one: to be marked done.
  std::vector<clients::RecipientRecord> duplicates;
};

/// The envelope sender for a request with these recipients: `sender`, or with VERP delimiters the one made for the
/// first recipient, as it was before rewriting. A null sender stays one.
[[nodiscard]] std::string request_sender(const std::string& sender, std::string_view verp_delimiters,
                                         const std::vector<clients::RecipientRecord>& recipients);

[[nodiscard]] Grouped group(std::vector<RoutedRecipient> recipients, const GroupLimits& limits);

}  // namespace stagepost::qmgr
