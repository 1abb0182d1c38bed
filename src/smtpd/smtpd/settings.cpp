#include "smtpd/smtpd/settings.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"
#include "clients/cleanup.hpp"
#include "log/log.hpp"

namespace stagepost::smtpd {
namespace {

std::uint32_t number(const config::Snapshot& config, std::string_view name) {
  return static_cast<std::uint32_t>(config.integer(name));
}

mail::BareNewline parse_bare_newline(std::string_view value) {
  using mail::BareNewline;
  if (text::iequals(value, "no")) { return BareNewline::allow; }
  if (text::iequals(value, "reject")) { return BareNewline::reject; }
  if (text::iequals(value, "note")) { return BareNewline::note; }
  return BareNewline::normalize;
}

tls::Level server_level(const config::Snapshot& config) {
  const std::string& text = config.text("smtpd_tls_security_level");
  if (!text.empty()) {
    const auto level = tls::parse_level(text);
    if (!level) {
      // As the client does with a level it does not know: never less security than was asked for.
      log::warning("smtpd_tls_security_level: unknown value \"{}\", using \"encrypt\"", text);
      return tls::Level::encrypt;
    }
    return *level >= tls::Level::encrypt ? tls::Level::encrypt : *level;
  }
  if (config.boolean("smtpd_enforce_tls")) { return tls::Level::encrypt; }
  return config.boolean("smtpd_use_tls") ? tls::Level::may : tls::Level::none;
}

std::uint32_t receive_flags(const config::Snapshot& config) {
  std::uint32_t flags = clients::kCleanupFilter | clients::kCleanupMap | clients::kCleanupBcc | clients::kCleanupMilter;
  for (const std::string& word : config.list("receive_override_options")) {
    if (word == "no_address_mappings") {
      flags &= ~static_cast<std::uint32_t>(clients::kCleanupMap | clients::kCleanupBcc);
    }
    if (word == "no_header_body_checks") { flags &= ~static_cast<std::uint32_t>(clients::kCleanupFilter); }
    if (word == "no_milters") { flags &= ~static_cast<std::uint32_t>(clients::kCleanupMilter); }
  }
  return flags;
}

}  // namespace

Keywords Keywords::without(const std::vector<std::string>& discard) {
  Keywords keywords;
  const std::array<std::pair<std::string_view, bool*>, 13> names{{
      {"8BITMIME", &keywords.eight_bit_mime},
      {"AUTH", &keywords.auth},
      {"ETRN", &keywords.etrn},
      {"PIPELINING", &keywords.pipelining},
      {"SIZE", &keywords.size},
      {"STARTTLS", &keywords.starttls},
      {"VRFY", &keywords.vrfy},
      {"XCLIENT", &keywords.xclient},
      {"XFORWARD", &keywords.xforward},
      {"ENHANCEDSTATUSCODES", &keywords.enhanced_status_codes},
      {"DSN", &keywords.dsn},
      {"SMTPUTF8", &keywords.smtputf8},
      {"CHUNKING", &keywords.chunking},
  }};
  bool silent = false;
  for (const std::string& word : discard) {
    if (text::iequals(word, "silent-discard")) { silent = true; }
    bool known = text::iequals(word, "silent-discard");
    for (const auto& [name, flag] : names) {
      if (text::iequals(word, name)) {
        *flag = false;
        known = true;
      }
    }
    if (!known) { log::warning("Unknown EHLO keyword \"{}\" in smtpd_discard_ehlo_keywords", word); }
  }
  if (!silent) {
    for (const auto& [name, flag] : names) {
      if (*flag) { continue; }
      if (!keywords.discarded.empty()) { keywords.discarded += ' '; }
      keywords.discarded += name;
    }
  }
  return keywords;
}

Settings Settings::from(const config::Snapshot& config, SessionKind kind) {
  Settings s;
  s.kind = kind;
  s.myhostname = config.text("myhostname");
  s.mail_name = config.text("mail_name");
  s.banner = config.text("smtpd_banner");
  s.keywords = Keywords::without(config.list("smtpd_discard_ehlo_keywords"));
  s.helo_required = config.boolean("smtpd_helo_required");
  s.strict_rfc821_envelopes = config.boolean("strict_rfc821_envelopes");
  s.disable_vrfy_command = config.boolean("disable_vrfy_command");
  s.smtputf8 = config.boolean("smtputf8_enable");
  s.strict_smtputf8 = config.boolean("strict_smtputf8");
  s.delay_reject = config.boolean("smtpd_delay_reject");
  s.delay_open_until_valid_rcpt = config.boolean("smtpd_delay_open_until_valid_rcpt");
  s.soft_bounce = config.boolean("soft_bounce");
  s.forbid_unauth_pipelining = config.boolean("smtpd_forbid_unauth_pipelining");
  s.peername_lookup = config.boolean("smtpd_peername_lookup");
  s.client_port_logging = config.boolean("smtpd_client_port_logging");
  s.per_request_deadline = config.boolean("smtpd_per_request_deadline");
  s.min_data_rate = static_cast<std::uint64_t>(std::max<std::int64_t>(1, config.integer("smtpd_min_data_rate")));
  for (std::string word : config.list("smtpd_noop_commands")) {
    for (char& c : word) { c = text::upper(c); }
    s.noop_commands.insert(std::move(word));
  }
  s.forbidden_commands = config.list("smtpd_forbidden_commands");
  s.soft_error_limit = number(config, "smtpd_soft_error_limit");
  s.hard_error_limit = number(config, "smtpd_hard_error_limit");
  s.junk_command_limit = number(config, "smtpd_junk_command_limit");
  s.recipient_limit = number(config, "smtpd_recipient_limit");
  s.recipient_overshoot_limit = number(config, "smtpd_recipient_overshoot_limit");
  s.error_sleep_time = config.seconds("smtpd_error_sleep_time");
  s.timeout = config.seconds("smtpd_timeout");
  s.starttls_timeout = config.seconds("smtpd_starttls_timeout");
  s.line_length_limit = static_cast<std::size_t>(config.integer("line_length_limit"));
  s.message_size_limit = static_cast<std::uint64_t>(config.integer("message_size_limit"));
  s.queue_minfree = static_cast<std::uint64_t>(config.integer("queue_minfree"));
  s.bare_newline = parse_bare_newline(config.text("smtpd_forbid_bare_newline"));
  s.bare_newline_reject_code = static_cast<int>(config.integer("smtpd_forbid_bare_newline_reject_code"));
  s.tls_level = server_level(config);
  s.tls_wrappermode = config.boolean("smtpd_tls_wrappermode");
  s.tls_received_header = config.boolean("smtpd_tls_received_header");
  if (s.stand_alone()) {
    s.tls_level = tls::Level::none;
    s.tls_wrappermode = false;
    s.peername_lookup = false;
  }
  s.cleanup_flags = receive_flags(config);
  s.default_verp_delimiters = config.text("default_verp_delimiters");
  s.verp_delimiter_filter = config.text("verp_delimiter_filter");
  return s;
}

}  // namespace stagepost::smtpd
