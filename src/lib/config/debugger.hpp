// Parameter debugger_command: what a program does when it was started with -D, so that a debugger or a tracer can
// attach before the program goes on (DEBUG_README of Postfix).
#pragma once

#include "config/snapshot.hpp"

namespace stagepost::config {

/// Gives debugger_command to the shell and waits until the shell ends; `config` names process and service, the process
/// ID is that of the caller now. The command runs with the caller's rights, so call this before they are dropped. Its
/// environment is the caller's. Nothing happens when the parameter is empty; failures are logged.
void run_debugger(const Snapshot& config);

}  // namespace stagepost::config
