#include "smtpd/smtpd/policy.hpp"

#include "log/log.hpp"
#include "maps/context.hpp"
#include "maps/open.hpp"

namespace stagepost::smtpd {
namespace {

AccessSettings access_settings(const config::Snapshot& config) {
  const auto code = [&](std::string_view name) { return static_cast<int>(config.integer(name)); };
  AccessSettings s;
  s.access_map_reject_code = code("access_map_reject_code");
  s.access_map_defer_code = code("access_map_defer_code");
  s.reject_code = code("reject_code");
  s.defer_code = code("defer_code");
  s.relay_domains_reject_code = code("relay_domains_reject_code");
  s.invalid_hostname_reject_code = code("invalid_hostname_reject_code");
  s.non_fqdn_reject_code = code("non_fqdn_reject_code");
  s.unknown_client_reject_code = code("unknown_client_reject_code");
  s.unknown_hostname_reject_code = code("unknown_hostname_reject_code");
  s.unknown_address_reject_code = code("unknown_address_reject_code");
  s.multi_recipient_bounce_reject_code = code("multi_recipient_bounce_reject_code");
  s.plaintext_reject_code = code("plaintext_reject_code");
  s.maps_rbl_reject_code = code("maps_rbl_reject_code");
  s.unknown_address_tempfail_if_permit = config.text("unknown_address_tempfail_action") != "defer";
  s.unknown_helo_tempfail_if_permit = config.text("unknown_helo_hostname_tempfail_action") != "defer";
  s.null_access_lookup_key = config.text("smtpd_null_access_lookup_key");
  s.default_rbl_reply = config.raw("default_rbl_reply");
  s.myhostname = config.text("myhostname");
  s.extension = maps::extension_rule(config);
  s.access_parents = maps::parent_style(config.text("parent_domain_matches_subdomains"), "smtpd_access_maps");
  s.reject_unlisted_recipient = config.boolean("smtpd_reject_unlisted_recipient");
  s.reject_unlisted_sender = config.boolean("smtpd_reject_unlisted_sender");
  s.relay_before_recipient = config.boolean("smtpd_relay_before_recipient_restrictions");
  return s;
}

Result<maps::MatchList> address_list(const config::Snapshot& config, std::string_view parameter,
                                     const maps::OpenContext& context) {
  const maps::MatchList::Options options{
      .style = maps::MatchStyle::names_or_addresses,
      .parents = maps::parent_style(config.text("parent_domain_matches_subdomains"), parameter)};
  return maps::MatchList::create(parameter, config.text(parameter), options, context);
}

}  // namespace

Result<std::shared_ptr<const Policy>> Policy::create(const config::Snapshot& config, const maps::OpenContext& open,
                                                     SessionKind kind) {
  auto policy = std::make_shared<Policy>();
  policy->settings = Settings::from(config, kind);
  policy->access = access_settings(config);
  SP_TRY(policy->local_domains, maps::LocalDomains::create(config, open));
  SP_TRY(policy->mynetworks, address_list(config, "mynetworks", open));
  SP_TRY(policy->bare_newline_exclusions, address_list(config, "smtpd_forbid_bare_newline_exclusions", open));
  SP_TRY(policy->uncounted_clients, address_list(config, "smtpd_client_event_limit_exceptions", open));
  SP_TRY(policy->verp_clients, address_list(config, "smtpd_authorized_verp_clients", open));
  SP_TRY(policy->forbidden_commands,
         maps::MatchList::create("smtpd_forbidden_commands", config.text("smtpd_forbidden_commands"),
                                 {.style = maps::MatchStyle::strings}, open));
  if (kind == SessionKind::local_unrestricted) { return policy; }
  SP_TRY(policy->known, KnownAddresses::create(config, open));
  SP_TRY(policy->old_defaults, OldDefaults::create(config, open));

  policy->tables = std::make_shared<AccessTables>(open);
  const FindTable table = [tables = policy->tables.get()](std::string_view name) { return tables->open(name); };
  policy->class_names = config.list("smtpd_restriction_classes");
  for (const std::string& name : policy->class_names) {
    const std::string value = config.find_text(name).value_or("");
    policy->classes[name] = parse_rules(config::split_list(value), Stage::recipient, policy->class_names, table);
  }
  for (std::size_t i = 0; i < kStages; ++i) {
    const auto stage = static_cast<Stage>(i);
    policy->lists[i] = parse_rules(config.list(parameter_of(stage)), stage, policy->class_names, table);
  }
  policy->local_header_rewrite_clients =
      parse_rules(config.list("local_header_rewrite_clients"), Stage::client, policy->class_names, table);
  if (!limits_relaying(policy->list(Stage::relay)) && !limits_relaying(policy->list(Stage::recipient))) {
    return failure(
        "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance "
        "of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or "
        "check_relay_domains");
  }
  return policy;
}

}  // namespace stagepost::smtpd
