// The configuration of local(8) as typed values, and its tables. Made once per process.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "config/snapshot.hpp"
#include "delivery/identity.hpp"
#include "delivery/mailbox_file.hpp"
#include "maps/chain.hpp"
#include "maps/lookup_order.hpp"

namespace stagepost::local {

/// Where a destination was read.
enum class Source : std::uint8_t { recipient, alias, forward, include };

struct Settings {
  maps::Chain aliases;
  maps::Chain mailbox_transports, fallback_transports, mailbox_commands;
  maps::ExtensionRule extension;
  maps::ExtensionPropagation propagation;
  std::set<Source> commands_allowed;  ///< allow_mail_to_commands
  std::set<Source> files_allowed;     ///< allow_mail_to_files
  bool delivered_to_command = false;  ///< prepend_delivered_header
  bool delivered_to_file = false;
  bool delivered_to_forward = false;
  delivery::Identity default_rights;  ///< default_privs; never root
  delivery::LockPolicy locks;
  std::vector<std::string> exported_environment;

  /// Error: unbalanced braces, unknown words, a default_privs account that does not exist or is privileged.
  [[nodiscard]] static Result<Settings> create(const config::Snapshot& config, maps::OpenContext context);
};

/// The words alias, forward, include of allow_mail_to_commands and allow_mail_to_files; others are an error.
[[nodiscard]] Result<std::set<Source>> parse_sources(std::string_view parameter, std::string_view list);

/// Owner of the file behind a table ("lmdb:/etc/aliases": that of /etc/aliases.lmdb), root for tables without one.
[[nodiscard]] Result<uid_t> table_owner(const std::string& type_and_name);

}  // namespace stagepost::local
