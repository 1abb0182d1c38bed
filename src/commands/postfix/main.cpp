// postfix(1): starts, stops and checks the mail system.
#include "base/command_help.hpp"
#include "commands/postfix/control.hpp"

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp)) { return *status; }
  return stagepost::postfix::run(argc, argv);
}
