// Where Stagepost's parameters differ from Postfix 3.7.11 on purpose: installation directories, the embedded database,
// safe defaults of later Postfix releases, and parameters of its own. mail_name, mail_version and mail_release_date
// stay Postfix's, because headers, banners and log readers depend on them.
#pragma once

#include "config/build_directories.hpp"
#include "config/registry_table.hpp"

namespace stagepost::config::table {

inline constexpr Parameter kDifferences[] = {
    // LMDB is the built-in indexed table type; Berkeley DB is an optional module.
    text("address_verify_map", "lmdb:$data_directory/verify_cache"),
    text("alias_database", "lmdb:" STAGEPOST_BUILD_ALIASES),
    text("alias_maps", "lmdb:" STAGEPOST_BUILD_ALIASES),
    required("command_directory", STAGEPOST_BUILD_COMMAND_DIRECTORY),
    required("daemon_directory", STAGEPOST_BUILD_DAEMON_DIRECTORY),
    required("data_directory", STAGEPOST_BUILD_DATA_DIRECTORY),
    required("default_database_type", "lmdb"),
    // Name servers to ask instead of those in resolv.conf: "address", "address:port", "[address]:port".
    text("dns_resolver_nameservers", ""),
    text("html_directory", "no"),
    required("mail_owner", STAGEPOST_BUILD_MAIL_OWNER),
    // "text": Postfix's lines. "json": one object per event.
    required("maillog_format", "text"),
    required("mailq_path", STAGEPOST_BUILD_MAILQ_PATH),
    text("manpage_directory", STAGEPOST_BUILD_MANPAGE_DIRECTORY),
    required("meta_directory", STAGEPOST_BUILD_CONFIG_DIRECTORY),
    required("newaliases_path", STAGEPOST_BUILD_NEWALIASES_PATH),
    text("postscreen_cache_map", "lmdb:$data_directory/postscreen_cache"),
    // Clients one process of a pooled service serves at once; master.cf's maxproc limits the clients of the service.
    integer("process_session_limit", "1000", 1, 1000000),
    required("queue_directory", STAGEPOST_BUILD_QUEUE_DIRECTORY),
    // yes: a log shared by all messages that wait for the disk (docs/journal.md); no: one fsync for each queue file.
    boolean("queue_journal", "yes"),
    text("readme_directory", "no"),
    text("sample_directory", STAGEPOST_BUILD_CONFIG_DIRECTORY),
    required("sendmail_path", STAGEPOST_BUILD_SENDMAIL_PATH),
    required("setgid_group", STAGEPOST_BUILD_SETGID_GROUP),
    text("shlib_directory", STAGEPOST_BUILD_SHLIB_DIRECTORY),
    // SMTP smuggling defences: on, as in Postfix 3.9.
    required("smtpd_forbid_bare_newline", "normalize"),
    text("smtpd_forbid_bare_newline_exclusions", "$mynetworks"),
    integer("smtpd_forbid_bare_newline_reject_code", "550", 500, 599),
    boolean("smtpd_forbid_unauth_pipelining", "yes"),
    text("stagepost_version", STAGEPOST_BUILD_VERSION),
};

}  // namespace stagepost::config::table
