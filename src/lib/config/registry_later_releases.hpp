// Parameters that Postfix got after 3.7 (releases 3.8 to 3.11), so that a main.cf written for one of those is
// understood. Names and defaults are those of its release notes and of postconf(5). docs/compatibility.md lists them.
#pragma once

#include "config/registry_table.hpp"

namespace stagepost::config::table {

inline constexpr Parameter kLaterReleases[] = {
    boolean("allow_srv_lookup_fallback", "no"),
    // Caches that verify, postscreen and the SASL client keep.
    required("default_cache_db_type", "lmdb"),
    boolean("force_mime_input_conversion", "no"),
    text("full_name_encoding_charset", "utf-8"),
    boolean("ignore_srv_lookup_error", "no"),
    boolean("lmtp_log_tls_feature_status", "yes"),
    text("lmtp_requiretls_policy", "opportunistic"),
    text("lmtp_sasl_password_result_delimiter", ":"),
    boolean("lmtp_tls_enable_rpk", "yes"),
    boolean("lmtp_tls_enforce_sts_mx_patterns", "yes"),
    text("maillog_file_permissions", "0600"),
    text("non_bdb_custom_mapping", ""),
    text("non_bdb_migration_allow_root_prefixes", "/etc /usr/local/etc"),
    text("non_bdb_migration_allow_user_prefixes", "/etc /home /usr/local /var"),
    required("non_bdb_migration_level", "disable"),
    boolean("non_bdb_migration_log_redirect", "yes"),
    required("non_bdb_migration_service_name", "nbdb_reindex"),
    required("non_empty_end_of_header_action", "fix_quietly"),
    boolean("relocated_prefix_enable", "yes"),
    boolean("requiretls_enable", "yes"),
    boolean("requiretls_esmtp_header", "yes"),
    boolean("requiretls_redact_dsn", "yes"),
    boolean("smtp_log_tls_feature_status", "yes"),
    text("smtp_requiretls_policy", "opportunistic"),
    text("smtp_sasl_password_result_delimiter", ":"),
    boolean("smtp_tls_enable_rpk", "no"),
    boolean("smtp_tls_enforce_sts_mx_patterns", "yes"),
    boolean("smtp_tlsrpt_enable", "no"),
    boolean("smtp_tlsrpt_skip_reused_handshakes", "no"),
    text("smtp_tlsrpt_socket_name", ""),
    integer("smtpd_client_ipv4_prefix_length", "32", 0, 32),
    integer("smtpd_client_ipv6_prefix_length", "84", 0, 128),
    boolean("smtpd_hide_client_session", "no"),
    text("smtpd_reject_filter_maps", ""),
    boolean("smtpd_tls_enable_rpk", "no"),
    integer("socketmap_max_reply_size", "100000", 1),
    text("tls_ffdhe_auto_groups", "ffdhe2048 ffdhe3072"),
    boolean("tls_required_enable", "yes"),
    boolean("tlsproxy_tls_enable_rpk", "$smtpd_tls_enable_rpk"),
    text("use_srv_lookup", ""),
};

}  // namespace stagepost::config::table
