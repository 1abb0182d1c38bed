// Aliases: alias_maps, owner- aliases, and with whose rights an alias acts. See recipient_delivery.hpp.
#include "base/text.hpp"
#include "delivery/local/notify.hpp"
#include "delivery/local/recipient_delivery.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"

namespace stagepost::local {
namespace {
/// As Postfix: the alias that would be the 26th on the way is a loop.
constexpr unsigned kAliasDepth = 25;
/// Aliases that fan out into each other end here instead.
constexpr std::size_t kExpansions = 100'000;
}  // namespace

/// The sender address that belongs to an owner- alias of `alias`.
net::Task<Result<std::optional<std::string>>> RecipientDelivery::owner_of(std::string alias) {
  std::string owner = "owner-" + alias;
  const auto found = co_await settings_.aliases.find(owner);
  if (!found) { co_return std::unexpected(found.error()); }
  if (!*found) { co_return std::nullopt; }
  std::string address = mail::quote_822_local(owner + "@");
  address.pop_back();
  if (config_.boolean("expand_owner_alias")) {
    for (Destination& destination : parse_destinations(**found)) {
      if (destination.kind != Destination::Kind::address) { continue; }
      address = std::move(destination.text);
      break;
    }
  }
  auto sender = co_await rewrite_internal(std::move(address));
  if (!sender) { co_return std::unexpected(std::move(sender.error())); }
  co_return std::move(*sender);
}

net::Task<std::optional<delivery::Kind>> RecipientDelivery::deliver_alias(const Scope& scope) {
  const LocalName name = local_name(scope);
  if (in_own_forward(scope, name)) { co_return std::nullopt; }
  if (scope.depth >= kAliasDepth || ++expansions_ > kExpansions) {
    log::warning("alias database loop for {}", name.local);
    const Kind kind = co_await note(scope, Kind::bounced, "5.4.6", "alias database loop for " + name.local);
    co_return kind;
  }
  maps::LookupKeys keys = maps::alias_keys(name.local, settings_.extension);
  // An alias that names itself means the user of that name.
  std::erase_if(keys, [&](const maps::LookupKey& key) {
    return scope.source == Source::alias && mail::fold_case(key.text) == scope.alias;
  });
  const auto match = co_await settings_.aliases.find(keys);
  if (!match) {
    log::warning("{}", match.error().message());
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "alias database unavailable");
    co_return kind;
  }
  if (!*match) { co_return std::nullopt; }
  const maps::LookupKey& key = keys.at((*match)->key_index);
  std::vector<Destination> destinations = parse_destinations((*match)->value);
  const auto owner = co_await owner_of(key.text);
  if (destinations.empty() || !owner) {
    if (!owner) {
      log::warning("owner-{}: {}", key.text, owner.error().message());
    } else {
      log::warning("no recipient in alias lookup result for {}", key.text);
    }
    const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "alias database unavailable");
    co_return kind;
  }

  Scope next = co_await expanded(scope);
  next.source = Source::alias;
  next.alias = mail::fold_case(key.text);
  next.depth = scope.depth + 1;
  next.extension = key.unmatched_extension;
  if (*owner) {
    next.has_owner = true;
    next.resubmit = true;
    next.sender = **owner;
  } else if (config_.boolean("reset_owner_alias")) {
    next.resubmit = false;
  }
  next.rights.reset();
  const auto file_owner = table_owner((*match)->table->name());
  if (file_owner && *file_owner != 0) {
    auto account = find_account(*file_owner);
    if (!account || !*account) {
      log::warning("{}: no account of its owner, uid {}", (*match)->table->name(), *file_owner);
      const Kind kind = co_await note(scope, Kind::deferred, "4.3.0", "alias database unavailable");
      co_return kind;
    }
    next.rights = std::move(*account);
  }
  const Kind kind = co_await deliver_destinations(std::move(next), std::move(destinations));
  co_return kind;
}

}  // namespace stagepost::local
