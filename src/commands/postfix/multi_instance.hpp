// What postfix(1) has to do with instances: hand a command for all of them to the multi-instance manager, and know
// which instance looks after the files that all share (postfix-wrapper(5) of Postfix).
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/snapshot.hpp"

namespace stagepost::postfix {

/// The main.cf of the default configuration directory lists this instance: shared files are not its business.
[[nodiscard]] bool is_secondary_instance(const config::Snapshot& config);

/// The words to run in place of a command that names no instance; empty when there is one instance only. Error: there
/// are several, and no manager.
[[nodiscard]] Result<std::vector<std::string>> manager_command(const config::Snapshot& config,
                                                               const std::vector<std::string>& command);

/// Puts the parameters that scripts rely on into the environment, under their own names.
void export_parameters(const config::Snapshot& config);

}  // namespace stagepost::postfix
