// Runs another program and waits for its end, as the commands do that hand work to each other.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace stagepost::sys {

using EnvironmentChanges = std::vector<std::pair<std::string, std::string>>;

/// Runs `command` (found in PATH unless it has a slash), with `changes` set in its environment, and returns its exit
/// status; 1 when a signal ended it. SIGTERM and SIGHUP that arrive meanwhile go to the program, SIGINT and SIGQUIT of
/// a terminal reach it anyway: the caller always lives to clean up. Error: the program could not be started.
[[nodiscard]] Result<int> run_program(const std::vector<std::string>& command, const EnvironmentChanges& changes = {});

/// Starts `command` and leaves it to itself, in a session of its own, with /dev/null as its three standard descriptors
/// and the scheduling policy SCHED_IDLE: for a caller that ends soon. Error: the program could not be started.
[[nodiscard]] Result<> leave_program(const std::vector<std::string>& command);

/// Replaces this process by `command`. Returns only on failure.
[[nodiscard]] Error replace_program(const std::vector<std::string>& command);

}  // namespace stagepost::sys
