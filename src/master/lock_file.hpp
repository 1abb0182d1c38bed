// The lock files that keep a second master away: pid/master.pid in the queue directory, which also tells our process
// ID, and master.lock in data_directory, so that two instances cannot share one data directory.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::master {

/// Content of a lock file: the process ID, right-aligned in 32 columns, and a newline.
[[nodiscard]] std::string lock_file_text(pid_t pid);

/// Creates (mode 0600), locks and fills the file; the lock lives as long as the descriptor. Error:
/// "open lock file PATH: unable to set exclusive lock: Resource temporarily unavailable" when another process has it.
[[nodiscard]] Result<unique_fd> take_lock(const std::string& path);
/// True when `path` exists and someone holds its lock. Needs read and write permission.
[[nodiscard]] Result<bool> is_locked(const std::string& path);

}  // namespace stagepost::master
