// postlock(1): runs a command while a mailbox file is locked as local(8) locks it.
#pragma once

namespace stagepost::postlock {

/// Exit status: the command's (1 when it could not be started or a signal ended it), EX_TEMPFAIL when there is no lock.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::postlock
