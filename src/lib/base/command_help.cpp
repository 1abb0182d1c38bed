#include "base/command_help.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "base/nearest_name.hpp"
#include "base/safe_text.hpp"

namespace stagepost {
namespace {

int print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  const bool flushed = std::fflush(stdout) == 0;
  return written && flushed ? 0 : 1;
}

}  // namespace

std::string unknown_long_option(const CommandHelp& help, std::string_view option,
                                std::initializer_list<std::string_view> own) {
  std::vector<std::string_view> known{"--help", "--version"};
  known.insert(known.end(), own);
  return fmt::format("{}: fatal: unknown option {}{}; \"{} --help\" lists the options", help.name, printable(option),
                     did_you_mean(option, known), help.name);
}

std::optional<int> answer_long_option(int argc, char** argv, const CommandHelp& help,
                                      std::initializer_list<std::string_view> own, int usage_status) {
  if (argc < 2) { return std::nullopt; }
  std::string_view option = argv[1];
  option = option.substr(0, option.find('='));
  if (option.size() < 3 || !option.starts_with("--") || std::ranges::find(own, option) != own.end()) {
    return std::nullopt;
  }
  if (option == "--help") { return print(help.text); }
  if (option == "--version") { return print(fmt::format("{} (Stagepost) {}\n", help.name, help.version)); }
  fmt::print(stderr, "{}\n", unknown_long_option(help, option, own));
  return usage_status;
}

}  // namespace stagepost
