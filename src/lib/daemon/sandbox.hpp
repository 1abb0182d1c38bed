// What a daemon takes away from itself after start-up: new privileges, dangerous system calls (seccomp), writing
// outside its directories (Landlock). Best effort: an old kernel offers less, and the mail still has to flow.
#pragma once

#include <string>
#include <vector>

namespace stagepost::daemon {

struct SandboxPlan {
  bool allow_exec = false;
  bool allow_network = false;  ///< creating Internet sockets; connections handed to the process work in any case
  bool restrict_paths = true;
  std::vector<std::string> writable_paths;  ///< existing files or directories
  /// The process never empties a file, whatever its path: system calls for that are forbidden, and Landlock, which would
  /// look for a permission at each open, is not asked.
  bool forbid_truncation = false;
};

/// Applies what the kernel can do. The lines say what could not be applied, for the debug log.
[[nodiscard]] std::vector<std::string> enter_sandbox(const SandboxPlan& plan);

}  // namespace stagepost::daemon
