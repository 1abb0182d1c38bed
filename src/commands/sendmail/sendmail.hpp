// sendmail(1), mailq(1), newaliases(1): the interface that programs and people submit mail with.
#pragma once

namespace stagepost::sendmail {

/// Exit status of sysexits(3): 0 only when the message is safely in the maildrop queue (or the other mode's work done).
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::sendmail
