// See the header.
#include "base/subprocess.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.hpp"

namespace stagepost::sys {
namespace {

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) { pointers.push_back(word.data()); }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> environment_with(const EnvironmentChanges& changes) {
  std::vector<std::string> environment;
  const auto is_changed = [&](std::string_view entry) {
    return std::ranges::any_of(changes, [&](const auto& change) {
      return entry.size() > change.first.size() && entry.starts_with(change.first) && entry[change.first.size()] == '=';
    });
  };
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (!is_changed(*entry)) { environment.emplace_back(*entry); }
  }
  for (const auto& [name, value] : changes) { environment.push_back(name + '=' + value); }
  return environment;
}

/// Signals that a waiting parent handles itself, blocked while this lives.
class WaitSignals {
 public:
  WaitSignals() {
    ::sigemptyset(&set_);
    for (const int number : {SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT}) { ::sigaddset(&set_, number); }
    ::sigprocmask(SIG_BLOCK, &set_, &before_);
    // A caller that ignores SIGCHLD would take the exit status away.
    struct sigaction standard{};
    standard.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &standard, &child_before_);
  }
  ~WaitSignals() {
    ::sigaction(SIGCHLD, &child_before_, nullptr);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  WaitSignals(const WaitSignals&) = delete;
  WaitSignals& operator=(const WaitSignals&) = delete;

  [[nodiscard]] const sigset_t& before() const { return before_; }

  int wait_for(pid_t pid) const {
    for (;;) {
      int status = 0;
      const pid_t ended = ::waitpid(pid, &status, WNOHANG);
      if (ended == pid) { return WIFEXITED(status) ? WEXITSTATUS(status) : 1; }
      if (ended < 0 && errno != EINTR) { return 1; }
      const int number = ::sigwaitinfo(&set_, nullptr);
      if (number == SIGTERM || number == SIGHUP) { ::kill(pid, number); }
    }
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
  struct sigaction child_before_{};
};

}  // namespace

Result<int> run_program(const std::vector<std::string>& command, const EnvironmentChanges& changes) {
  SP_ASSERT(!command.empty());
  std::vector<std::string> words = command;
  std::vector<std::string> environment = environment_with(changes);
  const WaitSignals signals;
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  ::posix_spawnattr_setsigmask(&attributes, &signals.before());
  pid_t pid = -1;
  const int failed = ::posix_spawnp(&pid, words.front().c_str(), nullptr, &attributes, pointers_to(words).data(),
                                    pointers_to(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) { return errno_failure(failed, "execute " + words.front()); }
  return signals.wait_for(pid);
}

Result<> leave_program(const std::vector<std::string>& command) {
  SP_ASSERT(!command.empty());
  std::vector<std::string> words = command;
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  for (int fd = 0; fd < 3; ++fd) { ::posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0); }
  pid_t pid = -1;
  const int failed =
      ::posix_spawnp(&pid, words.front().c_str(), &files, &attributes, pointers_to(words).data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) { return errno_failure(failed, "execute " + words.front()); }
  const sched_param none{};
  ::sched_setscheduler(pid, SCHED_IDLE, &none);
  return {};
}

Error replace_program(const std::vector<std::string>& command) {
  SP_ASSERT(!command.empty());
  std::vector<std::string> words = command;
  ::execvp(words.front().c_str(), pointers_to(words).data());
  return errno_failure("execute " + words.front()).error();
}

}  // namespace stagepost::sys
