// The parameters of the dialogue, read once per configuration (smtpd(8) lists them). Restriction lists and tables are
// in policy.hpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "config/snapshot.hpp"
#include "mail/content_lines.hpp"
#include "tls/policy.hpp"

namespace stagepost::smtpd {

/// EHLO keywords that smtpd_discard_ehlo_keywords can take away.
struct Keywords {
  bool pipelining = true;
  bool size = true;
  bool vrfy = true;
  bool etrn = true;
  bool starttls = true;
  bool auth = true;
  bool enhanced_status_codes = true;
  bool eight_bit_mime = true;
  bool dsn = true;
  bool smtputf8 = true;
  bool chunking = true;
  bool xclient = true;
  bool xforward = true;
  /// "PIPELINING CHUNKING" for the log line; empty when nothing is discarded or silent-discard is in the list.
  std::string discarded;

  [[nodiscard]] static Keywords without(const std::vector<std::string>& discard);
};

/// Where a session comes from and what it may do.
enum class SessionKind : std::uint8_t {
  network,
  local_restricted,   ///< standard input, started by the mail system's user: all access rules
  local_unrestricted  ///< standard input, started by anybody else, who may submit mail anyway
};

struct Settings {
  SessionKind kind = SessionKind::network;
  std::string myhostname;
  std::string mail_name;
  std::string banner;
  Keywords keywords;
  bool helo_required = false;
  bool strict_rfc821_envelopes = false;
  bool disable_vrfy_command = false;
  bool smtputf8 = true;
  bool strict_smtputf8 = false;
  bool delay_reject = true;
  bool delay_open_until_valid_rcpt = true;
  bool soft_bounce = false;
  bool forbid_unauth_pipelining = true;
  bool peername_lookup = true;
  bool client_port_logging = false;
  bool per_request_deadline = false;
  std::uint64_t min_data_rate = 500;            ///< bytes per second
  std::set<std::string> noop_commands;          ///< upper case
  std::vector<std::string> forbidden_commands;  ///< words and tables, for a MatchList
  std::uint32_t soft_error_limit = 10;
  std::uint32_t hard_error_limit = 20;
  std::uint32_t junk_command_limit = 100;
  std::uint32_t recipient_limit = 1000;
  std::uint32_t recipient_overshoot_limit = 1000;
  std::chrono::seconds error_sleep_time{1};
  std::chrono::seconds timeout{300};
  std::chrono::seconds starttls_timeout{300};
  std::size_t line_length_limit = 2048;
  std::uint64_t message_size_limit = 0;  ///< bytes; 0: none
  std::uint64_t queue_minfree = 0;       ///< bytes
  mail::BareNewline bare_newline = mail::BareNewline::normalize;
  int bare_newline_reject_code = 550;
  tls::Level tls_level = tls::Level::none;
  bool tls_wrappermode = false;
  bool tls_received_header = false;
  std::uint32_t cleanup_flags = 0;  ///< receive_override_options
  std::string default_verp_delimiters = "+=";
  std::string verp_delimiter_filter = "-=+";

  /// Standard input has no TLS, no name to look up and often everything in it at once.
  [[nodiscard]] bool stand_alone() const { return kind != SessionKind::network; }
  [[nodiscard]] bool restricted() const { return kind != SessionKind::local_unrestricted; }
  [[nodiscard]] static Settings from(const config::Snapshot& config, SessionKind kind = SessionKind::network);
};

}  // namespace stagepost::smtpd
