#include "base/command_help.hpp"
#include "commands/smtp-source/smtp_source.hpp"

int main(int argc, char** argv) {
  const auto status = stagepost::answer_long_option(
      argc, argv, stagepost::kCommandHelp,
      {"--starttls", "--stamp", "--report", "--report-interval", "--rate", "--duration", "--hold"});
  if (status) { return *status; }
  return stagepost::smtp_source::run(argc, argv);
}
