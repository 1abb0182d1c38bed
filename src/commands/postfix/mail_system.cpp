// See the header.
#include "commands/postfix/mail_system.hpp"

#include <thread>

#include "base/deadline.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "master/lock_file.hpp"

namespace stagepost::postfix {

Result<std::optional<pid_t>> MailSystem::running() const {
  SP_TRY(const bool locked, master::is_locked(pid_file_));
  if (!locked) { return std::nullopt; }
  SP_TRY(const std::string content, sys::read_file(pid_file_, 100));
  const auto pid = text::parse_unsigned(text::trim(content));
  if (!pid || *pid < 1 || *pid > 0x7fffffff) { return failure("no process ID in " + pid_file_); }
  return static_cast<pid_t>(*pid);
}

bool MailSystem::wait_until_gone(std::chrono::seconds limit) const {
  const Deadline deadline = within(limit);
  for (;;) {
    const auto pid = running();
    if (pid && !*pid) { return true; }
    if (deadline.passed()) { return false; }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace stagepost::postfix
