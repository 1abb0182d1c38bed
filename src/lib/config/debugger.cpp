#include "config/debugger.hpp"

#include <cerrno>
#include <cstring>
#include <signal.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "log/log.hpp"

namespace stagepost::config {
namespace {

[[noreturn]] void become_shell(const char* command) {
  // The shell shall get none of the sockets that this program was started with.
  ::close_range(3, ~0U, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
  ::_exit(127);
}

}  // namespace

void run_debugger(const Snapshot& config) {
  // Loaded again: a process that went to the background has another ID than the one that read main.cf.
  const auto current = config.with({}, false);
  if (!current) { return log::warning("debugger_command: {}", current.error().message()); }
  const std::string& command = (*current)->text("debugger_command");
  if (command.empty()) { return; }
  const pid_t shell = ::fork();
  if (shell < 0) { return log::warning("debugger_command: fork: {}", std::strerror(errno)); }
  if (shell == 0) { become_shell(command.c_str()); }
  int status = 0;
  while (::waitpid(shell, &status, 0) < 0 && errno == EINTR) {}
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) { log::warning("debugger_command failed: status {}", status); }
}

}  // namespace stagepost::config
