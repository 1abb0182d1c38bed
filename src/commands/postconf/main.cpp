// postconf: entry point.
#include <cstdio>
#include <string>

#include "base/command_help.hpp"
#include "commands/postconf/postconf.hpp"

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp, {"--explain"})) {
    return *status;
  }
  const auto output = stagepost::postconf::run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  // As it was called, like all programs of the suite.
  const std::string name = argc > 0 ? argv[0] : "postconf";
  if (!output) {
    const std::string message = output.error().message();
    // What getopt(3) would have said stands on a line of its own.
    const std::size_t line_end = message.find('\n');
    if (line_end != std::string::npos) {
      std::fprintf(stderr, "%s: %s\n", name.c_str(), message.substr(0, line_end).c_str());
    }
    std::fprintf(stderr, "%s: fatal: %s\n", name.c_str(),
                 message.c_str() + (line_end == std::string::npos ? 0 : line_end + 1));
    return 1;
  }
  const bool written = std::fwrite(output->text.data(), 1, output->text.size(), stdout) == output->text.size();
  const bool flushed = std::fflush(stdout) == 0;
  for (const std::string& warning : output->warnings) {
    std::fprintf(stderr, "%s: warning: %s\n", name.c_str(), warning.c_str());
  }
  return written && flushed ? output->status : 1;
}
