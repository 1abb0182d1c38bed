// What is executed for a "|command": the program itself where that does the same, a shell where it does not. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace stagepost::delivery {

/// Arguments for execvp. `shell` (local_command_shell, "/bin/bash -c") gets the command as its last argument whatever
/// it says; when it is empty, "/bin/sh -c" gets commands with shell syntax, shell built-ins, and nothing else.
[[nodiscard]] std::vector<std::string> command_arguments(std::string_view command, std::string_view shell);

}  // namespace stagepost::delivery
