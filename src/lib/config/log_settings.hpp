// Where a program of the suite logs, according to its configuration.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/snapshot.hpp"
#include "log/log.hpp"

namespace stagepost::config {

/// Program name "$syslog_name/`process`", syslog_facility, maillog_file (then lines go to postlogd's socket) and
/// maillog_format.
[[nodiscard]] log::Settings log_settings(const Snapshot& config, std::string_view process, bool verbose);

/// maillog_file if it may be written, else empty: for log::Settings::fallback_file.
[[nodiscard]] std::string fallback_log_file(const Snapshot& config);

/// maillog_file must be below one of maillog_file_prefixes (or be one of them).
[[nodiscard]] bool log_file_allowed(std::string_view path, const std::vector<std::string>& prefixes);

}  // namespace stagepost::config
