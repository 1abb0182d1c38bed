#include "qmgr/routing.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/text.hpp"
#include "mail/verp.hpp"

namespace stagepost::qmgr {
namespace {

std::string_view domain_of(std::string_view address) {
  const std::size_t at = address.rfind('@');
  return at == std::string_view::npos ? std::string_view{} : address.substr(at + 1);
}

Route error_route(std::string text, std::string_view recipient, const RoutingRules& rules) {
  return {Route::Kind::deliver, rules.error_transport, std::move(text), std::string(recipient)};
}

std::size_t octets_of(const clients::RecipientRecord& recipient) {
  return recipient.address.size() + recipient.original.size() + recipient.dsn_original.size() + 32;
}

/// Parts that hold no NUL, joined so that they cannot run into each other.
std::string key_of(std::string_view transport, std::string_view nexthop) {
  std::string key(transport);
  key += '\0';
  key += nexthop;
  return key;
}

}  // namespace

Route filter_route(std::string_view filter, std::string_view recipient, const RoutingRules& rules) {
  const std::size_t colon = filter.find(':');
  Route route{Route::Kind::deliver, std::string(filter.substr(0, colon)), {}, std::string(recipient)};
  if (colon != std::string_view::npos) { route.nexthop = filter.substr(colon + 1); }
  if (route.nexthop.empty()) { route.nexthop = rules.default_filter_nexthop; }
  if (route.nexthop.empty()) { route.nexthop = domain_of(recipient); }
  return route;
}

Route deferring_route(const dsn::Status& status, std::string_view recipient) {
  return {Route::Kind::deliver, std::string(kRetryTransport), status.code + " " + status.text, std::string(recipient)};
}

Route resolved_route(const clients::ResolveReply& reply, const RoutingRules& rules, DeferTransports deferral) {
  using Outcome = clients::ResolveReply::Outcome;
  const std::string& recipient = reply.recipient;
  if (reply.outcome == Outcome::retry || (reply.outcome == Outcome::ok && reply.transport.empty())) {
    return deferring_route({"4.3.0", "address resolver failure"}, recipient);
  }
  if (reply.outcome == Outcome::bad_address || (!rules.allow_min_user && recipient.starts_with('-'))) {
    return error_route("5.1.3 bad address syntax", recipient, rules);
  }
  const std::size_t at = recipient.rfind('@');
  if (reply.address_class == clients::AddressClass::local &&
      text::iequals(std::string_view(recipient).substr(0, at), rules.double_bounce_sender)) {
    return {Route::Kind::discard, {}, {}, recipient};
  }
  if (deferral == DeferTransports::honour &&
      std::ranges::find(rules.defer_transports, reply.transport) != rules.defer_transports.end()) {
    return deferring_route({"4.3.2", "deferred transport"}, recipient);
  }
  return {Route::Kind::deliver, reply.transport, reply.nexthop, recipient};
}

std::string request_sender(const std::string& sender, std::string_view verp_delimiters,
                           const std::vector<clients::RecipientRecord>& recipients) {
  // A file of another origin may hold anything; cleanup lets two characters pass only.
  if (sender.empty() || verp_delimiters.size() != 2 || recipients.empty()) { return sender; }
  const clients::RecipientRecord& recipient = recipients.front();
  return mail::verp_sender(sender, verp_delimiters,
                           recipient.original.empty() ? recipient.address : recipient.original);
}

Grouped group(std::vector<RoutedRecipient> recipients, const GroupLimits& limits) {
  struct Open {
    std::size_t index = 0;  // of the delivery that still has room
    std::size_t octets = 0;
    std::size_t limit = 0;  // recipients
    std::unordered_set<std::string> seen;
  };
  Grouped result;
  std::unordered_map<std::string, Open> open;
  for (RoutedRecipient& routed : recipients) {
    Route& route = routed.route;
    const auto [place, fresh] = open.try_emplace(key_of(route.transport, route.nexthop));
    Open& group = place->second;
    if (fresh) { group.limit = limits.recipients(route.transport); }
    clients::RecipientRecord& recipient = routed.recipient;
    if (route.recipient != recipient.address) {
      if (recipient.original.empty()) { recipient.original = recipient.address; }
      recipient.address = std::move(route.recipient);
    }
    if (!group.seen.insert(recipient.address).second) {
      result.duplicates.push_back(std::move(recipient));
      continue;
    }
    const std::size_t octets = octets_of(recipient);
    const bool first = group.seen.size() == 1;
    if (first || limits.one_to_a_request ||
        (group.limit != 0 && result.deliveries[group.index].recipients.size() >= group.limit) ||
        group.octets + octets > limits.octets) {
      group.index = result.deliveries.size();
      group.octets = 0;
      // With one recipient to a request, a destination is a recipient (postconf(5), ..._destination_recipient_limit).
      std::string destination =
          text::to_lower(group.limit == 1 ? key_of(route.nexthop, recipient.address) : route.nexthop);
      result.deliveries.push_back({route.transport, route.nexthop, std::move(destination), {}});
    }
    group.octets += octets;
    result.deliveries[group.index].recipients.push_back(std::move(recipient));
  }
  return result;
}

}  // namespace stagepost::qmgr
