// The postsuper command: options, privileges, reports. What it does to the queue is in maintenance.hpp.
#pragma once

namespace stagepost::postsuper {

/// Exit status: 0, or 1 after a fatal error.
int run(int argc, char** argv);

}  // namespace stagepost::postsuper
