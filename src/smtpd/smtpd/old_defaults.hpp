// The safety net of upgrades in the SMTP server (COMPATIBILITY_README): where an old default decides about a request
// otherwise than the new one would, a line in the log says so.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "config/snapshot.hpp"
#include "maps/match_list.hpp"
#include "smtpd/smtpd/access_rules.hpp"

namespace stagepost::smtpd {

struct OldDefaults {
  // Each true while the parameter has its old default (config::uses_old_default).
  bool relay_domains = false;
  bool smtputf8 = false;
  bool relay_restrictions = false;
  bool relay_before_recipient = false;
  bool mynetworks_style = false;  ///< and mynetworks is not set either

  std::string style;              ///< value of mynetworks_style
  maps::MatchList host_networks;  ///< mynetworks with the new style; of use if mynetworks_style
  Rules default_relay_rules;      ///< what smtpd_relay_restrictions would be; of use if relay_restrictions
  /// Gets each line without "using backwards-compatible default setting ".
  std::function<void(std::string_view)> say;

  [[nodiscard]] static Result<OldDefaults> create(const config::Snapshot& config, const maps::OpenContext& open);
  void note_address(std::string_view what, std::string_view address, std::string_view client) const;
};

}  // namespace stagepost::smtpd
