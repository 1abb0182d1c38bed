// Directories, owners and permissions: what `postfix check` reports and creates and `postfix set-permissions` repairs.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "config/snapshot.hpp"

namespace stagepost::postfix {

/// What a path should be like. Owners count only when we are root: a system of an ordinary user is that user's.
struct Rule {
  std::string path;
  uid_t owner = 0;
  bool check_group = false;
  gid_t group = 0;
  mode_t mode = 0;       ///< set by set-permissions
  mode_t forbidden = 0;  ///< bits whose presence is reported
  mode_t required = 0;   ///< bits whose absence is reported
};

/// Rules for the queue directory, data_directory, config_directory and the set-group-ID commands. Error: mail_owner or
/// setgid_group does not exist or is privileged.
[[nodiscard]] Result<std::vector<Rule>> integrity_rules(const config::Snapshot& config);
/// Creates missing directories of the queue, and data_directory.
[[nodiscard]] Result<> create_missing(const config::Snapshot& config);
/// Text of one warning for each broken rule; paths that do not exist are no warning.
[[nodiscard]] std::vector<std::string> broken_rules(const std::vector<Rule>& rules, const config::Snapshot& config);
[[nodiscard]] Result<> repair(const std::vector<Rule>& rules);

}  // namespace stagepost::postfix
