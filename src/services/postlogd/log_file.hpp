// maillog_file: opening it.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::postlogd {

/// Opens the file for appending (made with mode 0600). "/dev/stdout" is this process's standard output, also when that
/// is a pipe or a socket. Error: not below any of `prefixes` (maillog_file_prefixes), or the system's.
[[nodiscard]] Result<unique_fd> open_log_file(const std::string& path, const std::vector<std::string>& prefixes);

}  // namespace stagepost::postlogd
