// Everything the configuration says about a session: parameters, restriction lists, tables. Made once per configuration
// of the process (normal and stress), shared by its sessions.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/snapshot.hpp"
#include "maps/local_domains.hpp"
#include "maps/match_list.hpp"
#include "smtpd/smtpd/access_rules.hpp"
#include "smtpd/smtpd/known_addresses.hpp"
#include "smtpd/smtpd/old_defaults.hpp"
#include "smtpd/smtpd/settings.hpp"

namespace stagepost::smtpd {

struct AccessSettings {
  int access_map_reject_code = 554;
  int access_map_defer_code = 450;
  int reject_code = 554;
  int defer_code = 450;
  int relay_domains_reject_code = 554;
  int invalid_hostname_reject_code = 501;
  int non_fqdn_reject_code = 504;
  int unknown_client_reject_code = 450;
  int unknown_hostname_reject_code = 450;
  int unknown_address_reject_code = 450;
  int multi_recipient_bounce_reject_code = 550;
  int plaintext_reject_code = 450;
  int maps_rbl_reject_code = 554;
  /// *_tempfail_action: true for defer_if_permit, false for defer.
  bool unknown_address_tempfail_if_permit = true;
  bool unknown_helo_tempfail_if_permit = true;
  std::string null_access_lookup_key = "<>";
  std::string default_rbl_reply;
  std::string myhostname;
  maps::ExtensionRule extension;
  maps::ParentStyle access_parents = maps::ParentStyle::plain;
  bool reject_unlisted_recipient = true;
  bool reject_unlisted_sender = false;
  bool relay_before_recipient = true;
};

struct Policy {
  Settings settings;
  AccessSettings access;
  maps::LocalDomains local_domains;
  maps::MatchList mynetworks;
  maps::MatchList bare_newline_exclusions;
  maps::MatchList uncounted_clients;  ///< smtpd_client_event_limit_exceptions
  maps::MatchList verp_clients;       ///< smtpd_authorized_verp_clients
  maps::MatchList forbidden_commands;
  KnownAddresses known;
  OldDefaults old_defaults;
  std::shared_ptr<AccessTables> tables;
  std::array<Rules, kStages> lists;
  std::vector<std::string> class_names;
  std::map<std::string, Rules, std::less<>> classes;
  Rules local_header_rewrite_clients;

  [[nodiscard]] const Rules& list(Stage stage) const { return lists[static_cast<std::size_t>(stage)]; }

  /// SessionKind::local_unrestricted: no access rules, and no table of theirs is opened.
  /// Errors: a list that can't be read, and a set of restrictions that would relay mail for everyone.
  [[nodiscard]] static Result<std::shared_ptr<const Policy>> create(const config::Snapshot& config,
                                                                    const maps::OpenContext& open,
                                                                    SessionKind kind = SessionKind::network);
};

}  // namespace stagepost::smtpd
