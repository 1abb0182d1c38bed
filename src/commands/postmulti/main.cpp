#include "base/command_help.hpp"
#include "commands/postmulti/postmulti.hpp"

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp)) { return *status; }
  return stagepost::postmulti::run(argc, argv);
}
