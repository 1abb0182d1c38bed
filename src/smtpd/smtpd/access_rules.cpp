#include "smtpd/smtpd/access_rules.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::smtpd {
namespace {

enum class Argument : std::uint8_t { none, table, domain, number };

struct Word {
  std::string_view name;
  Check check;
  Argument argument = Argument::none;
};

constexpr std::array kWords{
    Word{"permit", Check::permit},
    Word{"reject", Check::reject},
    Word{"defer", Check::defer},
    Word{"defer_if_permit", Check::defer_if_permit},
    Word{"defer_if_reject", Check::defer_if_reject},
    Word{"warn_if_reject", Check::warn_if_reject},
    Word{"sleep", Check::sleep, Argument::number},
    Word{"permit_mynetworks", Check::permit_mynetworks},
    Word{"permit_inet_interfaces", Check::permit_inet_interfaces},
    Word{"permit_sasl_authenticated", Check::permit_sasl_authenticated},
    Word{"permit_tls_clientcerts", Check::permit_tls},
    Word{"permit_tls_all_clientcerts", Check::permit_tls},
    Word{"reject_unknown_client_hostname", Check::reject_unknown_client_hostname},
    Word{"reject_unknown_client", Check::reject_unknown_client_hostname},
    Word{"reject_unknown_reverse_client_hostname", Check::reject_unknown_reverse_client_hostname},
    Word{"reject_plaintext_session", Check::reject_plaintext_session},
    Word{"reject_unauth_pipelining", Check::reject_unauth_pipelining},
    Word{"reject_invalid_helo_hostname", Check::reject_invalid_helo_hostname},
    Word{"reject_invalid_hostname", Check::reject_invalid_helo_hostname},
    Word{"reject_non_fqdn_helo_hostname", Check::reject_non_fqdn_helo_hostname},
    Word{"reject_non_fqdn_hostname", Check::reject_non_fqdn_helo_hostname},
    Word{"reject_unknown_helo_hostname", Check::reject_unknown_helo_hostname},
    Word{"reject_unknown_hostname", Check::reject_unknown_helo_hostname},
    Word{"reject_non_fqdn_sender", Check::reject_non_fqdn_sender},
    Word{"reject_unknown_sender_domain", Check::reject_unknown_sender_domain},
    Word{"reject_unknown_address", Check::reject_unknown_sender_domain},
    Word{"reject_unlisted_sender", Check::reject_unlisted_sender},
    Word{"permit_auth_destination", Check::permit_auth_destination},
    Word{"reject_unauth_destination", Check::reject_unauth_destination},
    Word{"check_relay_domains", Check::reject_unauth_destination},
    Word{"defer_unauth_destination", Check::defer_unauth_destination},
    Word{"reject_non_fqdn_recipient", Check::reject_non_fqdn_recipient},
    Word{"reject_unknown_recipient_domain", Check::reject_unknown_recipient_domain},
    Word{"reject_unlisted_recipient", Check::reject_unlisted_recipient},
    Word{"check_recipient_maps", Check::reject_unlisted_recipient},
    Word{"reject_multi_recipient_bounce", Check::reject_multi_recipient_bounce},
    Word{"check_client_access", Check::client_access, Argument::table},
    Word{"check_reverse_client_hostname_access", Check::reverse_client_access, Argument::table},
    Word{"check_helo_access", Check::helo_access, Argument::table},
    Word{"check_sender_access", Check::sender_access, Argument::table},
    Word{"check_recipient_access", Check::recipient_access, Argument::table},
    Word{"check_etrn_access", Check::etrn_access, Argument::table},
    Word{"reject_rbl_client", Check::rbl_client, Argument::domain},
    Word{"reject_rbl", Check::rbl_client, Argument::domain},
    Word{"reject_rhsbl_client", Check::rhsbl_client, Argument::domain},
    Word{"reject_rhsbl_reverse_client", Check::rhsbl_reverse_client, Argument::domain},
    Word{"reject_rhsbl_helo", Check::rhsbl_helo, Argument::domain},
    Word{"reject_rhsbl_sender", Check::rhsbl_sender, Argument::domain},
    Word{"reject_rhsbl_recipient", Check::rhsbl_recipient, Argument::domain},
    Word{"permit_dnswl_client", Check::permit_dnswl_client, Argument::domain},
    Word{"permit_rhswl_client", Check::permit_rhswl_client, Argument::domain},
    Word{"reject_sender_login_mismatch", Check::sasl_only},
    Word{"reject_authenticated_sender_login_mismatch", Check::sasl_only},
    Word{"reject_unauthenticated_sender_login_mismatch", Check::sasl_only},
    Word{"reject_known_sender_login_mismatch", Check::sasl_only},
    Word{"permit_naked_ip_address", Check::ineffective},
};

const Word* find_word(std::string_view name) {
  const auto found = std::ranges::find_if(kWords, [&](const Word& word) { return text::iequals(word.name, name); });
  return found == kWords.end() ? nullptr : &*found;
}

/// What a bare "type:table" is asked about.
Check table_check(Stage stage) {
  switch (stage) {
    case Stage::client:
      return Check::client_access;
    case Stage::helo:
      return Check::helo_access;
    case Stage::sender:
      return Check::sender_access;
    case Stage::etrn:
      return Check::etrn_access;
    default:
      return Check::recipient_access;
  }
}

bool is_table_name(std::string_view word) {
  const std::size_t colon = word.find(':');
  return colon != std::string_view::npos && colon > 0 && text::is_alpha(word.front());
}

Rule bad_rule(std::string name, std::string warning) {
  return {.check = Check::bad, .name = std::move(name), .argument = std::move(warning)};
}

Rule table_rule(std::string name, std::string_view argument, Check check, const FindTable& table) {
  if (!is_table_name(argument)) {
    return bad_rule(name, fmt::format("restriction {}: bad argument \"{}\": need maptype:mapname", name,
                                      argument.empty() ? std::string_view(name) : argument));
  }
  auto opened = table(argument);
  if (opened == nullptr) {
    return bad_rule(std::move(name), fmt::format("dictionary {} is not named in a restriction list", argument));
  }
  return {.check = check, .name = std::move(name), .argument = std::string(argument), .table = std::move(opened)};
}

}  // namespace

std::string_view parameter_of(Stage stage) {
  switch (stage) {
    case Stage::client:
      return "smtpd_client_restrictions";
    case Stage::helo:
      return "smtpd_helo_restrictions";
    case Stage::sender:
      return "smtpd_sender_restrictions";
    case Stage::relay:
      return "smtpd_relay_restrictions";
    case Stage::recipient:
      return "smtpd_recipient_restrictions";
    case Stage::data:
      return "smtpd_data_restrictions";
    case Stage::end_of_data:
      return "smtpd_end_of_data_restrictions";
    case Stage::etrn:
      return "smtpd_etrn_restrictions";
  }
  return "";
}

std::shared_ptr<const maps::Chain> AccessTables::open(std::string_view type_and_name) {
  if (auto known = find(type_and_name)) { return known; }
  std::vector<std::unique_ptr<maps::Table>> one;
  one.push_back(maps::open_or_stand_in(type_and_name, context_));
  auto chain = std::make_shared<const maps::Chain>(std::string(type_and_name), std::move(one));
  tables_.emplace(std::string(type_and_name), chain);
  return chain;
}

std::shared_ptr<const maps::Chain> AccessTables::find(std::string_view type_and_name) const {
  const auto found = tables_.find(type_and_name);
  return found == tables_.end() ? nullptr : found->second;
}

Rules parse_rules(const std::vector<std::string>& words, Stage stage, const std::vector<std::string>& classes,
                  const FindTable& table) {
  Rules rules;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& name = words[i];
    if (std::ranges::find(classes, name) != classes.end()) {
      rules.push_back({.check = Check::restriction_class, .name = name, .argument = {}});
      continue;
    }
    if (is_table_name(name)) {
      rules.push_back(table_rule(name, name, table_check(stage), table));
      continue;
    }
    const Word* const word = find_word(name);
    if (word == nullptr) {
      rules.push_back(bad_rule(name, fmt::format("unknown smtpd restriction: \"{}\"", name)));
      continue;
    }
    const bool has_argument = word->argument != Argument::none && i + 1 < words.size();
    const std::string argument = has_argument ? words[i + 1] : std::string();
    switch (word->argument) {
      case Argument::none:
        rules.push_back({.check = word->check, .name = name, .argument = {}});
        break;
      case Argument::table:
        rules.push_back(table_rule(name, argument, word->check, table));
        break;
      case Argument::domain:
        if (argument.empty()) {
          rules.push_back({.check = Check::ineffective, .name = name, .argument = "requires domain name argument"});
        } else {
          rules.push_back({.check = word->check, .name = name, .argument = argument});
        }
        break;
      case Argument::number:
        if (const auto seconds = text::parse_unsigned(argument); seconds && *seconds <= 300) {
          rules.push_back({.check = word->check, .name = name, .argument = argument});
        } else {
          rules.push_back(bad_rule(name, fmt::format("restriction {}: bad argument \"{}\"", name, argument)));
        }
        break;
    }
    if (has_argument) { ++i; }
  }
  return rules;
}

bool limits_relaying(const Rules& rules) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    switch (rules[i].check) {
      case Check::reject_unauth_destination:
      case Check::defer_unauth_destination:
      case Check::reject:
      case Check::defer:
      case Check::defer_if_permit:
        // After warn_if_reject it refuses nothing.
        if (i == 0 || rules[i - 1].check != Check::warn_if_reject) { return true; }
        break;
      case Check::permit:
        return false;
      default:
        break;
    }
  }
  return false;
}

}  // namespace stagepost::smtpd
