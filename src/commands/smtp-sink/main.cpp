#include "base/command_help.hpp"
#include "commands/smtp-sink/sink.hpp"

int main(int argc, char** argv) {
  const auto status = stagepost::answer_long_option(
      argc, argv, stagepost::kCommandHelp, {"--report", "--report-every", "--report-interval", "--latency", "--rate"});
  if (status) { return *status; }
  return stagepost::smtp_sink::run(argc, argv);
}
