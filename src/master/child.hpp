// Starting one child: its command line, its environment, its descriptors.
#pragma once

#include <functional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "config/master_cf.hpp"
#include "config/snapshot.hpp"

namespace stagepost::master {

/// "smtpd -n smtp -t inet -u -c -s 2 ..." in the order administrators know from ps: -l (maxproc 1) or -z (no limit),
/// -n (when the name is not the command's), -t, -u (unprivileged), -c (chroot), -v per `verbosity`, -D, -s (when there
/// is not exactly one socket), then the entry's own arguments.
struct CommandLine {
  std::uint32_t maxproc = 100;
  std::size_t listeners = 1;
  unsigned verbosity = 0;
  bool debug = false;
};
[[nodiscard]] std::vector<std::string> child_arguments(const config::ServiceEntry& entry, const CommandLine& line);

/// Environment by import_environment: "NAME" is copied from master's own, "NAME=value" is set. MAIL_CONFIG and
/// MAIL_LOGTAG are always there.
[[nodiscard]] std::vector<std::string> child_environment(const config::Snapshot& config,
                                                         const std::vector<std::string>& own_environment);

struct ChildDescriptors {
  int status = -1;
  int scoreboard = -1;
  std::vector<int> listeners;
};
/// Forks and runs `path`. When exec fails the child logs "master_spawn: exec PATH: reason" as fatal and exits with 1,
/// which master then sees as a bad start. `reopen_log` runs in the child before that: the descriptors of the log that
/// master had open may have been overwritten by the ones a child is born with.
[[nodiscard]] Result<pid_t> spawn(const std::string& path, const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& environment, const ChildDescriptors& descriptors,
                                  const std::function<void()>& reopen_log);

}  // namespace stagepost::master
