// The running mail system as seen from outside: is there a master, what is its process ID, telling it something.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>

#include "base/result.hpp"

namespace stagepost::postfix {

class MailSystem {
 public:
  explicit MailSystem(const std::string& queue_directory) : pid_file_(queue_directory + "/pid/master.pid") {}

  /// Master's process ID when one runs. Error: the lock file cannot be examined (no permission).
  [[nodiscard]] Result<std::optional<pid_t>> running() const;
  /// False: it still ran at the end of `limit`.
  [[nodiscard]] bool wait_until_gone(std::chrono::seconds limit) const;

 private:
  std::string pid_file_;
};

}  // namespace stagepost::postfix
