// See the header.
#include "master/child.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/core.h>

#include "config/environment.hpp"
#include "ipc/supervision.hpp"
#include "log/log.hpp"
#include "master/reactor.hpp"

namespace stagepost::master {
namespace {

/// Puts the descriptors where the child expects them and closes everything else. False: out of descriptors.
bool arrange(const ChildDescriptors& descriptors) {
  std::vector<int> wanted{descriptors.status, descriptors.scoreboard};
  wanted.insert(wanted.end(), descriptors.listeners.begin(), descriptors.listeners.end());
  const int past_last = ipc::kStatusFd + static_cast<int>(wanted.size());
  // First all out of the way, so that no dup2 hits one that is still needed.
  for (int& fd : wanted) {
    fd = ::fcntl(fd, F_DUPFD_CLOEXEC, past_last);
    if (fd < 0) { return false; }
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    // dup2 leaves the copy open across exec.
    if (::dup2(wanted[i], ipc::kStatusFd + static_cast<int>(i)) < 0) { return false; }
  }
  return ::close_range(static_cast<unsigned>(past_last), ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& string : strings) { result.push_back(const_cast<char*>(string.c_str())); }
  result.push_back(nullptr);
  return result;
}

}  // namespace

std::vector<std::string> child_arguments(const config::ServiceEntry& entry, const CommandLine& line) {
  std::vector<std::string> arguments{entry.command.substr(entry.command.rfind('/') + 1)};
  if (line.maxproc == 1) {
    arguments.emplace_back("-l");
  } else if (line.maxproc == 0) {
    arguments.emplace_back("-z");
  }
  if (entry.name != arguments.front()) { arguments.insert(arguments.end(), {"-n", entry.name}); }
  arguments.insert(arguments.end(), {"-t", std::string(config::to_string(entry.type))});
  if (entry.unprivileged) { arguments.emplace_back("-u"); }
  if (entry.chroot) { arguments.emplace_back("-c"); }
  for (unsigned i = 0; i < line.verbosity; ++i) { arguments.emplace_back("-v"); }
  if (line.debug) { arguments.emplace_back("-D"); }
  if (line.listeners != 1) { arguments.insert(arguments.end(), {"-s", std::to_string(line.listeners)}); }
  arguments.insert(arguments.end(), entry.args.begin(), entry.args.end());
  return arguments;
}

std::vector<std::string> child_environment(const config::Snapshot& config,
                                           const std::vector<std::string>& own_environment) {
  std::vector<std::string> environment;
  const auto has = [&environment](std::string_view name) {
    return std::any_of(environment.begin(), environment.end(), [&](const std::string& item) {
      return item.size() > name.size() && item.starts_with(name) && item[name.size()] == '=';
    });
  };
  environment.push_back("MAIL_CONFIG=" + config.config_directory());
  environment.push_back("MAIL_LOGTAG=" + config.text("syslog_name"));
  for (const std::string& piece : config.list("import_environment")) {
    const auto item = config::parse_environment_item(piece);
    if (!item || !*item) { continue; }  // an error has stopped the start already
    const std::string& name = (*item)->name;
    if (has(name)) { continue; }
    if ((*item)->value) {
      environment.push_back(name + "=" + *(*item)->value);
      continue;
    }
    for (const std::string& own : own_environment) {
      if (own.size() > name.size() && own.starts_with(name) && own[name.size()] == '=') {
        environment.push_back(own);
        break;
      }
    }
  }
  return environment;
}

Result<pid_t> spawn(const std::string& path, const std::vector<std::string>& arguments,
                    const std::vector<std::string>& environment, const ChildDescriptors& descriptors,
                    const std::function<void()>& reopen_log) {
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(environment);
  const pid_t child = ::fork();
  if (child < 0) { return errno_failure("fork"); }
  if (child > 0) { return child; }
  Reactor::restore_signals_in_child();
  if (arrange(descriptors)) { ::execve(path.c_str(), argv.data(), envp.data()); }
  const int why = errno;
  reopen_log();
  log::fatal("master_spawn: exec {}: {}", path, std::strerror(why));
  ::_exit(1);
}

}  // namespace stagepost::master
