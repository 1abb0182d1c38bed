// What a command that is installed set-group-ID does before it trusts anything its caller chose (postdrop, postqueue).
#pragma once

#include <string>

#include "base/result.hpp"

namespace stagepost::config {

/// The process has rights that its caller has not.
[[nodiscard]] bool is_setgid();

/// The directory to read main.cf from: `option` (-c) if not empty, else MAIL_CONFIG, else the built-in one. Running
/// set-gid, only the built-in one and those the main.cf there names in alternate_config_directories or
/// multi_instance_directories; others are permission_denied.
[[nodiscard]] Result<std::string> trusted_config_directory(const std::string& option);

/// Removes everything from the environment but a few names that are safe. Call it after trusted_config_directory().
void clean_environment();

}  // namespace stagepost::config
