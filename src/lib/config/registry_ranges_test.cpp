// What the programs of Postfix 3.7.11 refuse in main.cf, found by giving each of them -1, 0, 1 and 2147483647 for every
// number and time, and nothing for every text. Ours are never wider; where they are narrower, that is said below.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "config/registry.hpp"
#include "config/snapshot.hpp"

namespace stagepost::config {
namespace {

struct Range {
  const char* name;
  std::int64_t minimum;
  std::int64_t maximum;  ///< 0: none below 2^31
};
constexpr Range kRanges[] = {
    {"address_verify_negative_expire_time", 1, 0},
    {"address_verify_negative_refresh_time", 1, 0},
    {"address_verify_pending_request_limit", 1, 0},
    {"address_verify_poll_count", 1, 0},
    {"address_verify_poll_delay", 1, 0},
    {"address_verify_positive_expire_time", 1, 0},
    {"address_verify_positive_refresh_time", 1, 0},
    {"anvil_rate_time_unit", 1, 0},
    {"anvil_status_update_time", 1, 0},
    {"application_event_drain_time", 1, 0},
    {"berkeley_db_create_buffer_size", 1, 0},
    {"berkeley_db_read_buffer_size", 1, 0},
    {"bounce_queue_lifetime", 0, 8640000},
    {"bounce_size_limit", 1, 0},
    {"command_time_limit", 1, 0},
    {"connection_cache_protocol_timeout", 1, 0},
    {"connection_cache_status_update_time", 1, 0},
    {"connection_cache_ttl_limit", 1, 0},
    {"daemon_timeout", 1, 0},
    {"debug_peer_level", 1, 0},
    {"default_delivery_slot_discount", 0, 100},
    {"default_process_limit", 1, 0},
    {"default_recipient_refill_delay", 1, 0},
    {"default_recipient_refill_limit", 1, 0},
    {"delay_logging_resolution_limit", 0, 6},
    {"deliver_lock_attempts", 1, 0},
    {"deliver_lock_delay", 1, 0},
    {"fast_flush_purge_time", 1, 0},
    {"fast_flush_refresh_time", 1, 0},
    {"fork_attempts", 1, 0},
    {"fork_delay", 1, 0},
    {"hash_queue_depth", 1, 0},
    {"header_address_token_limit", 1, 0},
    {"header_size_limit", 1, 0},
    {"hopcount_limit", 1, 0},
    {"in_flow_delay", 0, 10},
    {"initial_destination_concurrency", 1, 0},
    {"ipc_idle", 1, 0},
    {"ipc_timeout", 1, 0},
    {"ipc_ttl", 1, 0},
    {"line_length_limit", 512, 0},
    {"lmdb_map_size", 1, 0},
    {"lmtp_connection_cache_time_limit", 1, 0},
    {"lmtp_connection_reuse_time_limit", 1, 0},
    {"lmtp_data_done_timeout", 1, 0},
    {"lmtp_data_init_timeout", 1, 0},
    {"lmtp_data_xfer_timeout", 1, 0},
    {"lmtp_lhlo_timeout", 1, 0},
    {"lmtp_mail_timeout", 1, 0},
    {"lmtp_min_data_rate", 1, 0},
    {"lmtp_pix_workaround_delay_time", 1, 0},
    {"lmtp_quit_timeout", 1, 0},
    {"lmtp_rcpt_timeout", 1, 0},
    {"lmtp_rset_timeout", 1, 0},
    {"lmtp_starttls_timeout", 1, 0},
    {"lmtp_tls_session_cache_timeout", 0, 8640000},
    {"lmtp_xforward_timeout", 1, 0},
    {"max_idle", 1, 0},
    {"max_use", 1, 0},
    {"maximal_backoff_time", 1, 0},
    {"maximal_queue_lifetime", 0, 8640000},
    {"milter_command_timeout", 1, 0},
    {"milter_connect_timeout", 1, 0},
    {"milter_content_timeout", 1, 0},
    {"mime_boundary_length_limit", 1, 0},
    {"mime_nesting_limit", 1, 0},
    {"minimal_backoff_time", 1, 0},
    {"postlogd_watchdog_timeout", 10, 0},
    {"postscreen_bare_newline_ttl", 1, 0},
    {"postscreen_cache_retention_time", 1, 0},
    {"postscreen_command_count_limit", 1, 0},
    {"postscreen_command_time_limit", 1, 0},
    {"postscreen_dnsbl_max_ttl", 1, 0},
    {"postscreen_dnsbl_min_ttl", 1, 0},
    {"postscreen_dnsbl_threshold", 1, 0},
    {"postscreen_dnsbl_timeout", 1, 0},
    {"postscreen_greet_ttl", 1, 0},
    {"postscreen_greet_wait", 1, 0},
    {"postscreen_non_smtp_command_ttl", 1, 0},
    {"postscreen_pipelining_ttl", 1, 0},
    {"postscreen_post_queue_limit", 5, 0},
    {"postscreen_pre_queue_limit", 10, 0},
    {"postscreen_upstream_proxy_timeout", 1, 0},
    {"postscreen_watchdog_timeout", 10, 0},
    {"qmgr_daemon_timeout", 1, 0},
    {"qmgr_fudge_factor", 10, 100},
    {"qmgr_ipc_timeout", 1, 0},
    {"qmgr_message_active_limit", 1, 0},
    {"qmgr_message_recipient_limit", 1, 0},
    {"qmgr_message_recipient_minimum", 1, 0},
    {"qmqpd_timeout", 1, 0},
    {"queue_file_attribute_count_limit", 1, 0},
    {"queue_run_delay", 1, 0},
    {"smtp_connection_cache_time_limit", 1, 0},
    {"smtp_connection_reuse_time_limit", 1, 0},
    {"smtp_data_done_timeout", 1, 0},
    {"smtp_data_init_timeout", 1, 0},
    {"smtp_data_xfer_timeout", 1, 0},
    {"smtp_helo_timeout", 1, 0},
    {"smtp_mail_timeout", 1, 0},
    {"smtp_min_data_rate", 1, 0},
    {"smtp_pix_workaround_delay_time", 1, 0},
    {"smtp_quit_timeout", 1, 0},
    {"smtp_rcpt_timeout", 1, 0},
    {"smtp_rset_timeout", 1, 0},
    {"smtp_starttls_timeout", 1, 0},
    {"smtp_tls_session_cache_timeout", 0, 8640000},
    {"smtp_xforward_timeout", 1, 0},
    {"smtpd_forbid_bare_newline_reject_code", 500, 599},
    {"smtpd_hard_error_limit", 1, 0},
    {"smtpd_history_flush_threshold", 1, 0},
    {"smtpd_junk_command_limit", 1, 0},
    {"smtpd_min_data_rate", 1, 0},
    {"smtpd_policy_service_max_idle", 1, 0},
    {"smtpd_policy_service_max_ttl", 1, 0},
    {"smtpd_policy_service_retry_delay", 1, 0},
    {"smtpd_policy_service_timeout", 1, 0},
    {"smtpd_policy_service_try_limit", 1, 0},
    {"smtpd_proxy_timeout", 1, 0},
    {"smtpd_recipient_limit", 1, 0},
    {"smtpd_recipient_overshoot_limit", 1, 0},
    {"smtpd_sasl_response_limit", 12288, 0},
    {"smtpd_soft_error_limit", 1, 0},
    {"smtpd_starttls_timeout", 1, 0},
    {"smtpd_timeout", 1, 0},
    {"smtpd_tls_session_cache_timeout", 0, 8640000},
    {"smtpd_upstream_proxy_timeout", 1, 0},
    {"stale_lock_time", 1, 0},
    {"tls_random_bytes", 1, 0},
    {"tls_random_prng_update_period", 1, 0},
    {"tls_random_reseed_period", 1, 0},
    {"tlsproxy_watchdog_timeout", 10, 0},
    {"transport_retry_time", 1, 0},
    {"trigger_timeout", 1, 0},
    {"unverified_recipient_defer_code", 200, 499},
    {"unverified_recipient_reject_code", 200, 599},
    {"unverified_sender_defer_code", 200, 499},
    {"unverified_sender_reject_code", 200, 599},
    {"virtual_alias_address_length_limit", 1, 0},
    {"virtual_alias_expansion_limit", 1, 0},
    {"virtual_alias_recursion_limit", 1, 0},
    {"virtual_minimum_uid", 1, 0},
};

constexpr const char* kNotEmpty[] = {"2bounce_notice_recipient",
                                     "address_verify_default_transport",
                                     "address_verify_local_transport",
                                     "address_verify_relay_transport",
                                     "address_verify_service_name",
                                     "address_verify_virtual_transport",
                                     "bounce_notice_recipient",
                                     "bounce_service_name",
                                     "canonical_classes",
                                     "cleanup_service_name",
                                     "command_expansion_filter",
                                     "connection_cache_service_name",
                                     "default_destination_concurrency_negative_feedback",
                                     "default_destination_concurrency_positive_feedback",
                                     "default_privs",
                                     "default_transport",
                                     "default_verp_delimiters",
                                     "defer_service_name",
                                     "delay_notice_recipient",
                                     "dnsblog_service_name",
                                     "double_bounce_sender",
                                     "empty_address_default_transport_maps_lookup_key",
                                     "empty_address_recipient",
                                     "empty_address_relayhost_maps_lookup_key",
                                     "error_notice_recipient",
                                     "error_service_name",
                                     "execution_directory_expansion_filter",
                                     "flush_service_name",
                                     "forward_expansion_filter",
                                     "hash_queue_names",
                                     "header_from_format",
                                     "info_log_address_format",
                                     "lmtp_address_preference",
                                     "lmtp_address_verify_target",
                                     "lmtp_host_lookup",
                                     "lmtp_lhlo_name",
                                     "lmtp_sasl_type",
                                     "lmtp_tls_ciphers",
                                     "lmtp_tls_fingerprint_digest",
                                     "lmtp_tls_mandatory_ciphers",
                                     "lmtp_tls_secure_cert_match",
                                     "lmtp_tls_verify_cert_match",
                                     "local_transport",
                                     "mail_name",
                                     "mail_release_date",
                                     "mailbox_delivery_lock",
                                     "maillog_file_compressor",
                                     "maillog_file_prefixes",
                                     "maillog_file_rotate_suffix",
                                     "milter_default_action",
                                     "milter_macro_daemon_name",
                                     "milter_macro_v",
                                     "milter_protocol",
                                     "pickup_service_name",
                                     "postlog_service_name",
                                     "postscreen_bare_newline_action",
                                     "postscreen_denylist_action",
                                     "postscreen_dnsbl_action",
                                     "postscreen_greet_action",
                                     "postscreen_non_smtp_command_action",
                                     "postscreen_pipelining_action",
                                     "process_id_directory",
                                     "proxymap_service_name",
                                     "proxywrite_service_name",
                                     "queue_service_name",
                                     "recipient_canonical_classes",
                                     "reject_tempfail_action",
                                     "relay_transport",
                                     "rewrite_service_name",
                                     "sender_canonical_classes",
                                     "sendmail_fix_line_endings",
                                     "showq_service_name",
                                     "smtp_address_preference",
                                     "smtp_address_verify_target",
                                     "smtp_helo_name",
                                     "smtp_host_lookup",
                                     "smtp_sasl_type",
                                     "smtp_tls_ciphers",
                                     "smtp_tls_fingerprint_digest",
                                     "smtp_tls_mandatory_ciphers",
                                     "smtp_tls_secure_cert_match",
                                     "smtp_tls_verify_cert_match",
                                     "smtpd_banner",
                                     "smtpd_forbid_bare_newline",
                                     "smtpd_policy_service_default_action",
                                     "smtpd_sasl_path",
                                     "smtpd_sasl_service",
                                     "smtpd_sasl_type",
                                     "smtpd_service_name",
                                     "smtpd_tls_ciphers",
                                     "smtpd_tls_eecdh_grade",
                                     "smtpd_tls_fingerprint_digest",
                                     "smtpd_tls_mandatory_ciphers",
                                     "smtputf8_autodetect_classes",
                                     "tlsproxy_client_fingerprint_digest",
                                     "tlsproxy_service_name",
                                     "tlsproxy_tls_ciphers",
                                     "tlsproxy_tls_eecdh_grade",
                                     "tlsproxy_tls_fingerprint_digest",
                                     "tlsproxy_tls_mandatory_ciphers",
                                     "trace_service_name",
                                     "unknown_address_tempfail_action",
                                     "unknown_helo_hostname_tempfail_action",
                                     "unverified_recipient_tempfail_action",
                                     "unverified_sender_tempfail_action",
                                     "verp_delimiter_filter",
                                     "virtual_transport"};

/// A queue has two levels of directories at most.
constexpr const char* kNarrower[] = {"hash_queue_depth"};

struct Setting {
  std::string line;     ///< of main.cf
  std::string problem;  ///< with it; empty: none
};

/// All settings in one file, so that there is one snapshot to make.
void expect_problems(const std::vector<Setting>& settings) {
  std::string text = "compatibility_level = 3.6\n";
  std::vector<std::string> expected;
  std::size_t line = 1;
  for (const Setting& setting : settings) {
    text += setting.line + "\n";
    ++line;
    if (!setting.problem.empty()) { expected.push_back(fmt::format("main.cf, line {}: {}", line, setting.problem)); }
  }
  const auto config = Snapshot::from_text(text, "main.cf", {.check = LoadOptions::Check::no});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ((*config)->problems(), expected);
}

std::string assignment(const Range& range, std::int64_t value) {
  const bool time = find_parameter(range.name)->type == Type::time;
  return fmt::format("{} = {}{}", range.name, value, time ? "s" : "");
}

TEST(Ranges, AreThoseOfPostfix) {
  for (const Range& range : kRanges) {
    const auto parameter = find_parameter(range.name);
    ASSERT_TRUE(parameter) << range.name;
    EXPECT_EQ(parameter->minimum, range.minimum) << range.name;
    const bool narrower = std::ranges::find(kNarrower, std::string_view(range.name)) != std::end(kNarrower);
    if (range.maximum != 0) {
      EXPECT_EQ(parameter->maximum, range.maximum) << range.name;
    } else if (!narrower) {
      EXPECT_GE(parameter->maximum, INT32_MAX) << range.name;
    }
  }
}

TEST(Ranges, AreKeptFromBothSidesAndNamedWithTheLine) {
  std::vector<Setting> at_minimum;
  std::vector<Setting> below;
  std::vector<Setting> at_maximum;
  std::vector<Setting> above;
  for (const Range& range : kRanges) {
    at_minimum.push_back({assignment(range, range.minimum), ""});
    if (range.minimum > 0) {
      below.push_back(
          {assignment(range, range.minimum - 1),
           fmt::format("invalid {} parameter value {} < {}", range.name, range.minimum - 1, range.minimum)});
    }
    if (range.maximum > 0) {
      at_maximum.push_back({assignment(range, range.maximum), ""});
      above.push_back(
          {assignment(range, range.maximum + 1),
           fmt::format("invalid {} parameter value {} > {}", range.name, range.maximum + 1, range.maximum)});
    }
  }
  for (const auto& settings : {at_minimum, below, at_maximum, above}) { expect_problems(settings); }
}

TEST(Ranges, TextsThatPostfixNeedsMustNotBeEmpty) {
  std::vector<Setting> settings;
  for (const char* name : kNotEmpty) {
    settings.push_back({fmt::format("{} =", name), fmt::format("{} must not be empty", name)});
  }
  expect_problems(settings);
}

TEST(Ranges, ZeroIsAllowedWhereItMeansNever) {
  // postconf(5): a cost of 0 disables preemption; a limit of 0 is none.
  expect_problems({{"default_delivery_slot_cost = 0", ""},
                   {"message_size_limit = 0", ""},
                   {"default_destination_concurrency_failed_cohort_limit = 0", ""},
                   {"smtpd_client_connection_rate_limit = 0", ""}});
}

TEST(Ranges, ValuesThatAreNoNumbersOrTimes) {
  expect_problems(
      {{"max_use = x", "bad numerical configuration: max_use = x"},
       {"fork_attempts = 1.5", "bad numerical configuration: fork_attempts = 1.5"},
       {"ipc_timeout = 5x", "parameter ipc_timeout: bad time value or unit: 5x"},
       {"max_idle = -1", "parameter max_idle: bad time value or unit: -1"},
       {"hopcount_limit = 99999999999999999999", "bad numerical configuration: hopcount_limit = 99999999999999999999"},
       {"bounce_size_limit = 2147483648", "invalid bounce_size_limit parameter value 2147483648 > 2147483647"},
       {"header_size_limit = -1", "invalid header_size_limit parameter value -1 < 1"}});
}

TEST(Ranges, NoNumberIsNegativeAndEveryDefaultIsInItsRange) {
  for (const Parameter& parameter : parameters()) {
    if (parameter.type == Type::integer) { EXPECT_GE(parameter.minimum, 0) << parameter.name; }
  }
  for (const char* level : {"0", "2", "3.6"}) {
    const auto config = Snapshot::from_text(fmt::format("compatibility_level = {}\n", level), "main.cf", {});
    EXPECT_TRUE(config) << level << ": " << config.error().message();
  }
}

}  // namespace
}  // namespace stagepost::config
