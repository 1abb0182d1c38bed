#include "services/trivial_rewrite/resolver.hpp"

#include "base/text.hpp"
#include "mail/address.hpp"

namespace stagepost::trivial_rewrite {
namespace {

using clients::AddressClass;
using clients::ResolveReply;

/// More rounds than any address can need: each finds one more domain of it to be local.
constexpr std::size_t kDomainsLimit = 100;

struct Destination {
  std::string transport;
  std::string nexthop;
};

/// "transport:nexthop"; without a colon all of it is the transport.
Destination split(std::string_view value) {
  const std::size_t colon = value.find(':');
  Destination result{std::string(value.substr(0, colon)), {}};
  if (colon != std::string_view::npos) { result.nexthop = text::trim(value.substr(colon + 1)); }
  return result;
}

std::string_view domain_of(std::string_view address) {
  const std::size_t at = address.rfind('@');
  return at == std::string_view::npos ? std::string_view{} : address.substr(at + 1);
}

/// Removes local domains and routing from the address, asking for each domain that comes up once. The removal itself is
/// pure and cannot wait for a table, so it is started again with what has become known.
class RouteFinder {
 public:
  RouteFinder(const ResolverRules& rules, Lookups& lookups) : rules_(rules), lookups_(lookups) {}

  net::Task<Result<mail::ResolvedRoute>> find(std::string recipient) {
    mail::ResolveOptions options = rules_.routing;
    std::optional<std::string> unknown;
    options.is_local_domain = [this, &unknown](std::string_view domain) {
      const auto known = local_.find(domain);
      if (known != local_.end()) { return known->second; }
      if (!unknown) { unknown = domain; }
      return false;
    };
    for (std::size_t round = 0; round < kDomainsLimit; ++round) {
      unknown.reset();
      mail::ResolvedRoute route = mail::resolve_route(recipient, options);
      if (!unknown) { co_return route; }
      const auto known = co_await is_local(*unknown);
      if (!known) { co_return std::unexpected(known.error()); }
    }
    co_return failure("too much routing in address");
  }

  net::Task<Result<bool>> is_local(std::string domain) {
    const auto known = local_.find(domain);
    if (known != local_.end()) { co_return known->second; }
    const auto answer = co_await lookups_.is_local(domain);
    if (answer) { local_.emplace(std::move(domain), *answer); }
    co_return answer;
  }

 private:
  const ResolverRules& rules_;
  Lookups& lookups_;
  std::map<std::string, bool, std::less<>> local_;
};

/// The first hit of the sender's address and its domain. "DUNNO" ends the search without a result.
using SenderLookup = net::Task<Lookups::Answer> (Lookups::*)(std::string key);
net::Task<Lookups::Answer> by_sender(Lookups& lookups, SenderLookup look_up, std::string sender, std::string null_key) {
  std::string key = sender.empty() ? std::move(null_key) : sender;
  auto found = co_await (lookups.*look_up)(std::move(key));
  if (found && !*found && !domain_of(sender).empty()) {
    found = co_await (lookups.*look_up)("@" + std::string(domain_of(sender)));
  }
  if (found && *found && text::iequals(**found, "DUNNO")) { co_return std::nullopt; }
  co_return found;
}

ResolveReply retry(std::string recipient) {
  ResolveReply reply;
  reply.outcome = ResolveReply::Outcome::retry;
  reply.recipient = std::move(recipient);
  return reply;
}

class Resolution {
 public:
  Resolution(const ResolverRules& rules, Lookups& lookups, std::string sender, std::string recipient)
      : rules_(rules), lookups_(lookups), sender_(std::move(sender)), recipient_(std::move(recipient)) {}

  net::Task<Result<ResolveReply>> run() {
    RouteFinder finder(rules_, lookups_);
    const auto route = co_await finder.find(recipient_);
    if (!route) { co_return std::unexpected(route.error()); }
    ResolveReply reply;
    reply.recipient = route->recipient;
    reply.routed = route->routed;
    if (route->problem != mail::ResolvedRoute::Problem::none) {
      reply.outcome = ResolveReply::Outcome::bad_address;
      co_return reply;
    }
    const auto local = co_await finder.is_local(route->domain);
    if (!local) { co_return std::unexpected(local.error()); }
    const auto done = co_await choose(reply, route->domain, *local);
    if (!done) { co_return std::unexpected(done.error()); }
    const auto moved = co_await lookups_.relocated(reply.recipient, *local);
    if (!moved) { co_return std::unexpected(moved.error()); }
    if (*moved) {
      reply.transport = rules_.error_transport;
      reply.nexthop = "5.1.6 User has moved to " + **moved;
    }
    if (reply.transport.empty()) { co_return failure("no transport for " + route->domain); }
    co_return reply;
  }

 private:
  /// Address class, then transport and nexthop of the class, then transport_maps.
  net::Task<Result<>> choose(ResolveReply& reply, std::string domain, bool local) {
    const std::string plain_domain(domain_of(reply.recipient));  // as written, for the nexthop
    const auto address_class = co_await classify(domain, local);
    if (!address_class) { co_return std::unexpected(address_class.error()); }
    reply.address_class = *address_class;
    Destination to;
    switch (reply.address_class) {
      case AddressClass::local:
        to = split(rules_.local_transport);
        if (to.nexthop.empty()) { to.nexthop = rules_.myhostname; }
        break;
      case AddressClass::virtual_alias:
        // Aliases are expanded by cleanup: what is left is unknown, and no transport changes that.
        reply.transport = rules_.error_transport;
        reply.nexthop =
            rules_.show_user_unknown_table_name ? "5.1.1 User unknown in virtual alias table" : "5.1.1 User unknown";
        co_return Result<>{};
      case AddressClass::virtual_mailbox:
        to = split(rules_.virtual_transport);
        if (to.nexthop.empty()) { to.nexthop = plain_domain; }
        break;
      case AddressClass::relay:
        to = split(rules_.relay_transport);
        break;
      case AddressClass::other: {
        const auto by_map =
            co_await by_sender(lookups_, &Lookups::sender_transport, sender_, rules_.null_sender_transport_key);
        if (!by_map) { co_return std::unexpected(by_map.error()); }
        to = split(*by_map ? **by_map : rules_.default_transport);
        break;
      }
    }
    if (to.nexthop.empty()) {
      const auto relayhost =
          co_await by_sender(lookups_, &Lookups::sender_relayhost, sender_, rules_.null_sender_relayhost_key);
      if (!relayhost) { co_return std::unexpected(relayhost.error()); }
      to.nexthop = *relayhost ? **relayhost : rules_.relayhost.empty() ? plain_domain : rules_.relayhost;
    }
    const auto mapped = co_await lookups_.transport(mail::quote_822_local(reply.recipient));
    if (!mapped) { co_return std::unexpected(mapped.error()); }
    if (*mapped) { apply(split(**mapped), plain_domain, to); }
    reply.transport = std::move(to.transport);
    reply.nexthop = std::move(to.nexthop);
    co_return Result<>{};
  }

  /// transport(5), RESULT FORMAT.
  static void apply(Destination mapped, const std::string& domain, Destination& to) {
    if (!mapped.transport.empty()) {
      to.transport = std::move(mapped.transport);
      to.nexthop = mapped.nexthop.empty() ? domain : std::move(mapped.nexthop);
    } else if (!mapped.nexthop.empty()) {
      to.nexthop = std::move(mapped.nexthop);
    }
  }

  net::Task<Result<AddressClass>> classify(const std::string& domain, bool local) {
    const auto alias = co_await lookups_.is_virtual_alias(domain);
    if (!alias) { co_return std::unexpected(alias.error()); }
    const auto mailbox = co_await lookups_.is_virtual_mailbox(domain);
    if (!mailbox) { co_return std::unexpected(mailbox.error()); }
    if (local) {
      if (*alias) { lookups_.in_both(domain, "mydestination", "virtual_alias_domains"); }
      if (*mailbox) { lookups_.in_both(domain, "mydestination", "virtual_mailbox_domains"); }
      co_return AddressClass::local;
    }
    if (*alias) {
      if (*mailbox) { lookups_.in_both(domain, "virtual_alias_domains", "virtual_mailbox_domains"); }
      co_return AddressClass::virtual_alias;
    }
    if (*mailbox) { co_return AddressClass::virtual_mailbox; }
    const auto relay = co_await lookups_.is_relay(domain);
    if (!relay) { co_return std::unexpected(relay.error()); }
    co_return *relay ? AddressClass::relay : AddressClass::other;
  }

  const ResolverRules& rules_;
  Lookups& lookups_;
  std::string sender_;
  std::string recipient_;
};

}  // namespace

net::Task<ResolveReply> resolve(const ResolverRules& rules, Lookups& lookups, std::string sender,
                                std::string recipient) {
  Resolution resolution(rules, lookups, std::move(sender), recipient);
  auto reply = co_await resolution.run();
  if (!reply) { co_return retry(std::move(recipient)); }
  co_return std::move(*reply);
}

}  // namespace stagepost::trivial_rewrite
