#include "base/command_help.hpp"
#include "commands/qshape/qshape.hpp"

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp)) { return *status; }
  return stagepost::qshape::run(argc, argv);
}
