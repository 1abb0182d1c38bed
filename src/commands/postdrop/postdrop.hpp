// postdrop(1): the set-gid program that writes a submission into the maildrop queue. Everything about its caller is
// hostile: arguments, environment, standard input, descriptors, signals.
#pragma once

namespace stagepost::postdrop {

/// Exit status: 0 and the queue ID on standard output when the message is safely stored; otherwise a sysexits(3) code
/// (EX_DATAERR malformed input, EX_NOPERM not allowed, EX_UNAVAILABLE too big, EX_TEMPFAIL anything else) and one line
/// on standard error.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::postdrop
