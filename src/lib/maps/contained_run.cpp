// See contained_run.hpp.
#include "maps/contained_run.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace stagepost::maps {

std::optional<int> run_contained(const std::function<int()>& work, std::chrono::seconds cpu_limit, std::string& ended) {
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  // No process to spare: better at some risk than not at all.
  if (child < 0) { return work(); }
  if (child == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) { ::_exit(EXIT_FAILURE); }
    struct rlimit limit{};
    (void)::setrlimit(RLIMIT_CORE, &limit);
    if (cpu_limit.count() > 0) {
      limit.rlim_cur = limit.rlim_max = static_cast<rlim_t>(cpu_limit.count());
      (void)::setrlimit(RLIMIT_CPU, &limit);
    }
    const int status = work();
    std::fflush(nullptr);
    ::_exit(status);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      ended = fmt::format("wait for a process: {}", std::strerror(errno));
      return std::nullopt;
    }
  }
  if (WIFEXITED(status)) { return WEXITSTATUS(status); }
  const int signal = WTERMSIG(status);
  // Somebody wants this program to end, or nobody reads what it writes.
  if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGPIPE || signal == SIGQUIT) {
    (void)std::signal(signal, SIG_DFL);
    (void)std::raise(signal);
  }
  ended = fmt::format("killed by signal {}: {}", signal, ::strsignal(signal));
  return std::nullopt;
}

}  // namespace stagepost::maps
