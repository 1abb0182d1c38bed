// postconf: entry point.
#include <cstdio>

#include "base/command_help.hpp"
#include "commands/postconf/postconf.hpp"

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp, {"--explain"})) {
    return *status;
  }
  const auto output = stagepost::postconf::run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  if (!output) {
    std::fprintf(stderr, "postconf: fatal: %s\n", output.error().message().c_str());
    return 1;
  }
  const bool written = std::fwrite(output->text.data(), 1, output->text.size(), stdout) == output->text.size();
  const bool flushed = std::fflush(stdout) == 0;
  for (const std::string& warning : output->warnings) {
    std::fprintf(stderr, "postconf: warning: %s\n", warning.c_str());
  }
  return written && flushed ? 0 : 1;
}
