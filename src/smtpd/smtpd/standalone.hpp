// smtpd -S, which is `sendmail -bs`: one session on standard input and output, started by any user.
#pragma once

namespace stagepost::smtpd {

/// The command line asks for it: -S is its first option.
[[nodiscard]] bool is_standalone(int argc, char** argv);

/// Options: -S, -v, -o name=value. As the mail system's user the session has all access rules and hands messages to
/// cleanup(8); as anybody else it has none and submits through postdrop(1). Returns the exit status: 0, or a value of
/// sysexits.h.
[[nodiscard]] int run_standalone(int argc, char** argv);

}  // namespace stagepost::smtpd
