#include "smtpd/smtpd/old_defaults.hpp"

#include <fmt/format.h>

#include "base/text.hpp"
#include "config/compatibility_level.hpp"
#include "config/host_defaults.hpp"
#include "log/log.hpp"

namespace stagepost::smtpd {

Result<OldDefaults> OldDefaults::create(const config::Snapshot& config, const maps::OpenContext& open) {
  OldDefaults old;
  old.relay_domains = config::uses_old_default(config, "relay_domains");
  old.smtputf8 = config::uses_old_default(config, "smtputf8_enable");
  old.relay_restrictions = config::uses_old_default(config, "smtpd_relay_restrictions");
  old.relay_before_recipient = config::uses_old_default(config, "smtpd_relay_before_recipient_restrictions");
  old.mynetworks_style = config::uses_old_default(config, "mynetworks_style") && !config.is_set("mynetworks");
  old.style = config.text("mynetworks_style");
  if (old.mynetworks_style) {
    SP_TRY(const std::string networks,
           config::own_networks("host", config.text("inet_interfaces"), config.text("inet_protocols")));
    SP_TRY(old.host_networks,
           maps::MatchList::create("mynetworks", networks, {.style = maps::MatchStyle::names_or_addresses}, open));
  }
  if (old.relay_restrictions) {
    old.default_relay_rules =
        parse_rules({"permit_mynetworks", "permit_sasl_authenticated", "defer_unauth_destination"}, Stage::relay, {},
                    [](std::string_view) { return nullptr; });
  }
  old.say = [](std::string_view text) { log::info("using backwards-compatible default setting {}", text); };
  return old;
}

void OldDefaults::note_address(std::string_view what, std::string_view address, std::string_view client) const {
  if (!smtputf8 || text::is_ascii(address)) { return; }
  say(fmt::format("smtputf8_enable=no to accept non-ASCII {} address \"{}\" from {}", what, address, client));
}

}  // namespace stagepost::smtpd
