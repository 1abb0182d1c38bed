// A client library that damaged files can crash, kept away from those who want an error line instead: a command does
// its work in a child process.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace stagepost::maps {

/// Runs `work` in a child of this process, which must have one thread, and returns the exit status. Nullopt, with the
/// reason in `ended`: the child was killed by a signal. `cpu_limit` 0: none. The child ends when its parent does.
[[nodiscard]] std::optional<int> run_contained(const std::function<int()>& work, std::chrono::seconds cpu_limit,
                                               std::string& ended);

}  // namespace stagepost::maps
