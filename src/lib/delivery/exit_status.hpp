// What the end of a delivery command means for the mail: <sysexits.h> codes, an enhanced status code in front of the
// output, signals, the time limit. Pure.
#pragma once

#include <string>
#include <string_view>

#include "delivery/attempt.hpp"

namespace stagepost::delivery {

/// How a command ended.
struct CommandEnd {
  int wait_status = 0;     ///< as waitpid gives it
  bool timed_out = false;  ///< it was killed for that
  std::string output;      ///< standard output and error, together, cut
};

/// `command` is shown in texts. Exit status 0 is `sent` with the code 2.0.0 and no text: that is the caller's. A code
/// in front of the output ("5.7.1 text") counts only when the command fails; one that is not 4.x.x or 5.x.x makes a
/// bounce with 5.0.0. A command killed by a signal, exit codes 71 and 75 and whatever is ours (it could not be
/// executed) are tried again; a command over its time limit is not.
[[nodiscard]] Outcome command_outcome(const CommandEnd& end, std::string_view command);

}  // namespace stagepost::delivery
