// Runs a program for a recipient: as that user, in a session of its own, with the message on standard input, a part of
// its output kept, and a time limit. For local(8) and pipe(8).
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "delivery/content_copy.hpp"
#include "delivery/exit_status.hpp"
#include "delivery/identity.hpp"

namespace stagepost::delivery {

struct CommandPlan {
  std::vector<std::string> arguments;    ///< the program is looked for in PATH of `environment`
  std::vector<std::string> environment;  ///< "NAME=value", all of it
  Identity identity;                     ///< who it runs as; a process that is not root runs it as itself
  std::string directory;                 ///< working directory, entered as that user; empty: ours
  std::string chroot_directory;          ///< entered by root before; empty: none
  std::chrono::seconds time_limit{1000};
  std::size_t output_octets = 4096;  ///< how much of the output is kept; the rest is read and dropped
};

/// Writes the message into `target`. A target error std::errc::broken_pipe (the command does not want more) is no error
/// of the delivery.
using FeedMessage = std::function<Result<>(ContentTarget& target)>;

/// Runs the command to its end; blocks, for at most the time limit. The process group is killed at the limit, and when
/// `feed` fails. Never runs anything as root: an identity with user 0 is refused. A command that cannot be
/// executed ends with EX_TEMPFAIL and says why in its output. Error: no process could be made, or `feed` failed.
[[nodiscard]] Result<CommandEnd> run_command(const CommandPlan& plan, const FeedMessage& feed);

}  // namespace stagepost::delivery
