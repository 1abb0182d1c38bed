#include "delivery/virtual/mailbox_lookup.hpp"

#include "base/text.hpp"
#include "log/log.hpp"
#include "maps/context.hpp"

namespace stagepost::virtual_agent {
namespace {

delivery::Outcome deferred(std::string text) {
  delivery::Outcome outcome;
  outcome.kind = delivery::Kind::deferred;
  outcome.relay = "virtual";
  outcome.status = {"4.3.5", std::move(text)};
  return outcome;
}

/// A table value must stay below virtual_mailbox_base.
bool climbs_out(std::string_view path) {
  for (const std::string_view part : text::split(path, "/")) {
    if (part == "..") { return true; }
  }
  return false;
}

}  // namespace

Result<MailboxLookup> MailboxLookup::create(const config::Snapshot& config, maps::OpenContext context) {
  // $1 of a pattern table must not choose a path or a user id.
  context.substitution = maps::Substitution::forbidden;
  // Nor does another process choose them (virtual(8), SECURITY).
  context.security_sensitive = true;
  MailboxLookup lookup;
  const auto open = [&](std::string_view name) { return maps::Chain::open(name, config.text(name), context); };
  SP_TRY(lookup.mailboxes_, open("virtual_mailbox_maps"));
  SP_TRY(lookup.uids_, open("virtual_uid_maps"));
  SP_TRY(lookup.gids_, open("virtual_gid_maps"));
  lookup.extension_ = maps::extension_rule(config);
  lookup.base_ = config.text("virtual_mailbox_base");
  lookup.minimum_uid_ = static_cast<long>(config.integer("virtual_minimum_uid"));
  return lookup;
}

net::Task<std::expected<long, delivery::Outcome>> MailboxLookup::find_id(const maps::Chain& chain,
                                                                         maps::LookupKeys keys,
                                                                         std::string_view parameter,
                                                                         long minimum) const {
  using Failed = std::unexpected<delivery::Outcome>;
  const std::string address = keys.empty() ? std::string() : keys.front().text;
  const auto match = co_await chain.find(std::move(keys));
  if (!match) {
    log::warning("{}", match.error().message());
    co_return Failed(deferred("mail system configuration error"));
  }
  if (!*match) {
    log::warning("recipient {}: not found in {}", address, parameter);
    co_return Failed(deferred("mail system configuration error"));
  }
  const auto id = text::parse_unsigned((*match)->value);
  if (!id || *id > 0x7fffffff || static_cast<long>(*id) < minimum) {
    log::warning("recipient {}: bad value {} in {}", address, (*match)->value, parameter);
    co_return Failed(deferred("mail system configuration error"));
  }
  co_return static_cast<long>(*id);
}

net::Task<std::expected<Mailbox, delivery::Outcome>> MailboxLookup::find(std::string address) const {
  using Failed = std::unexpected<delivery::Outcome>;
  const maps::LookupKeys keys = maps::address_keys(address, extension_, maps::Site::other);
  const auto match = co_await mailboxes_.find(keys);
  if (!match) {
    log::warning("{}", match.error().message());
    co_return Failed(deferred("mail system configuration error"));
  }
  if (!*match) {
    delivery::Outcome outcome;
    outcome.kind = delivery::Kind::bounced;
    outcome.relay = "virtual";
    outcome.status = {"5.1.1", "unknown user: \"" + address + "\""};
    co_return Failed(std::move(outcome));
  }
  Mailbox mailbox;
  std::string_view value = (*match)->value;
  if (climbs_out(value)) {
    log::warning("virtual_mailbox_maps: {}: path with \"..\": {}", address, value);
    co_return Failed(deferred("mail system configuration error"));
  }
  mailbox.maildir = value.ends_with('/');
  while (value.ends_with('/')) { value.remove_suffix(1); }
  while (value.starts_with('/') && !base_.empty()) { value.remove_prefix(1); }
  mailbox.path = base_.empty() ? std::string(value) : base_ + "/" + std::string(value);

  const auto uid = co_await find_id(uids_, keys, "virtual_uid_maps", minimum_uid_);
  if (!uid) { co_return Failed(uid.error()); }
  const auto gid = co_await find_id(gids_, keys, "virtual_gid_maps", 1);
  if (!gid) { co_return Failed(gid.error()); }
  mailbox.identity = {static_cast<uid_t>(*uid), static_cast<gid_t>(*gid)};
  co_return mailbox;
}

}  // namespace stagepost::virtual_agent
