// The postcat command: options, files, the search in the queue.
#pragma once

namespace stagepost::postcat {

/// Exit status: 0, or 1 after a fatal error (reported to stderr as "postcat: fatal: ...").
int run(int argc, char** argv);

}  // namespace stagepost::postcat
