#include "base/command_help.hpp"
#include "commands/sendmail/sendmail.hpp"

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp, {}, 64)) {
    return *status;
  }
  return stagepost::sendmail::run(argc, argv);
}
