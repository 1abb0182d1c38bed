// From the command line to a running supervisor: environment, log, locks, detaching from the terminal.
#pragma once

namespace stagepost::master {

/// The whole life of the master process; the value is its exit status.
[[nodiscard]] int run_master(int argc, char** argv);

}  // namespace stagepost::master
