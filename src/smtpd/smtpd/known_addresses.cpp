#include "smtpd/smtpd/known_addresses.hpp"

#include <array>

#include "base/text.hpp"
#include "mail/reply.hpp"
#include "maps/context.hpp"

namespace stagepost::smtpd {
namespace {

using clients::AddressClass;

/// "5.4.4 no delivery to outside" as error(8) and retry(8) read it from the nexthop.
UnknownAddress from_error_transport(const clients::ResolveReply& resolved) {
  const bool retry = resolved.transport == "retry";
  dsn::Status status = dsn::split_status(resolved.nexthop, retry ? "4.1.1" : "5.1.1");
  const bool temporary = status.is_temporary();
  return {.code = temporary ? 450 : 550, .enhanced = std::move(status.code), .text = std::move(status.text)};
}

}  // namespace

Result<KnownAddresses> KnownAddresses::create(const config::Snapshot& config, const maps::OpenContext& context) {
  KnownAddresses known;
  const auto open = [&](std::string_view parameter) {
    return maps::Chain::open(parameter, config.text(parameter), context);
  };
  const auto number = [&](std::string_view parameter) { return static_cast<int>(config.integer(parameter)); };
  std::string canonical = config.text("recipient_canonical_maps");
  canonical += ' ';
  canonical += config.text("canonical_maps");
  SP_TRY(known.canonical_, maps::Chain::open("canonical_maps", canonical, context));
  SP_TRY(known.virtual_alias_, open("virtual_alias_maps"));
  SP_TRY(known.local_.maps, open("local_recipient_maps"));
  known.local_.code = number("unknown_local_recipient_reject_code");
  known.local_.table_name = "local recipient table";
  known.virtual_alias_class_.code = number("unknown_virtual_alias_reject_code");
  known.virtual_alias_class_.table_name = "virtual alias table";
  SP_TRY(known.virtual_mailbox_.maps, open("virtual_mailbox_maps"));
  known.virtual_mailbox_.code = number("unknown_virtual_mailbox_reject_code");
  known.virtual_mailbox_.table_name = "virtual mailbox table";
  SP_TRY(known.relay_.maps, open("relay_recipient_maps"));
  known.relay_.code = number("unknown_relay_recipient_reject_code");
  known.relay_.table_name = "relay recipient table";
  known.extension_ = maps::extension_rule(config);
  known.show_table_ = config.boolean("show_user_unknown_table_name");
  return known;
}

UnknownAddress KnownAddresses::unknown(const Class& address_class) const {
  return {.code = address_class.code,
          .enhanced = {},
          .text = show_table_ ? "User unknown in " + address_class.table_name : std::string("User unknown")};
}

net::Task<Result<std::optional<UnknownAddress>>> KnownAddresses::check(clients::ResolveReply resolved) const {
  using Outcome = Result<std::optional<UnknownAddress>>;
  const std::size_t at = resolved.recipient.rfind('@');
  const std::string_view local_part = std::string_view(resolved.recipient).substr(0, at);
  // The address of our own probes and of undeliverable bounces is always there.
  if (resolved.address_class == AddressClass::local && text::iequals(local_part, extension_.double_bounce_sender)) {
    co_return std::nullopt;
  }
  const auto site = resolved.address_class == AddressClass::local ? maps::Site::local : maps::Site::other;
  const maps::LookupKeys keys = maps::address_keys(resolved.recipient, extension_, site);
  for (const maps::Chain* const chain : {&canonical_, &virtual_alias_}) {
    if (chain->empty()) { continue; }
    const auto found = co_await chain->find(keys);
    if (!found) { co_return std::unexpected(found.error()); }
    if (*found) { co_return std::nullopt; }
  }
  // Nothing can be delivered there, whoever the user is.
  if (resolved.transport == "error" || resolved.transport == "retry") {
    co_return Outcome(from_error_transport(resolved));
  }
  const Class* address_class = nullptr;
  switch (resolved.address_class) {
    case AddressClass::local:
      address_class = &local_;
      break;
    case AddressClass::virtual_alias:
      co_return Outcome(unknown(virtual_alias_class_));
    case AddressClass::virtual_mailbox:
      address_class = &virtual_mailbox_;
      break;
    case AddressClass::relay:
      address_class = &relay_;
      break;
    case AddressClass::other:
      co_return std::nullopt;
  }
  // An empty parameter turns the check off.
  if (address_class->maps.empty()) { co_return std::nullopt; }
  const auto found = co_await address_class->maps.find(keys);
  if (!found) { co_return std::unexpected(found.error()); }
  if (*found) { co_return std::nullopt; }
  co_return Outcome(unknown(*address_class));
}

}  // namespace stagepost::smtpd
