// `postfix logrotate`: gives maillog_file another name, has it opened anew, and compresses what was in it.
#pragma once

#include <ctime>
#include <functional>
#include <string>

#include "base/result.hpp"
#include "config/snapshot.hpp"

namespace stagepost::postfix {

/// New name of a log file: a dot and `when`, in local time, as strftime(3) formats it. Error: the format gives nothing,
/// or something with a slash.
[[nodiscard]] Result<std::string> rotated_name(const std::string& file, const std::string& format, std::time_t when);

/// `reopen` makes a running system close the old file; false when none runs. The error's context is the whole text for
/// the log.
[[nodiscard]] Result<> rotate_log(const config::Snapshot& config, const std::function<bool()>& reopen);

}  // namespace stagepost::postfix
