// postlog(1): lets scripts log as the mail system does.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "base/command_help.hpp"
#include "base/nearest_name.hpp"
#include "base/safe_text.hpp"
#include "config/log_settings.hpp"
#include "config/setgid_command.hpp"
#include "config/snapshot.hpp"
#include "log/log.hpp"

namespace {

using namespace stagepost;

constexpr std::string_view kUsage = "usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text...]";

constexpr std::array<std::pair<std::string_view, log::Level>, 6> kLevels{{{"info", log::Level::info},
                                                                          {"warn", log::Level::warning},
                                                                          {"warning", log::Level::warning},
                                                                          {"error", log::Level::error},
                                                                          {"fatal", log::Level::fatal},
                                                                          {"panic", log::Level::panic}}};

std::optional<log::Level> level_of(std::string_view name) {
  for (const auto& [text, level] : kLevels) {
    if (text == name) { return level; }
  }
  return std::nullopt;
}

std::string invalid_priority(std::string_view name) {
  std::array<std::string_view, kLevels.size()> names;
  std::ranges::transform(kLevels, names.begin(), [](const auto& entry) { return entry.first; });
  return fmt::format("invalid priority: {}{}", printable(name), did_you_mean(name, names));
}

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : "";
}

int usage(std::string_view problem) {
  fmt::print(stderr, "postlog: fatal: {}\n", problem);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto status = stagepost::answer_long_option(argc, argv, stagepost::kCommandHelp)) { return *status; }
  log::Level level = log::Level::info;
  std::string tag;
  config::LoadOptions load;
  load.process_name = "postlog";
  bool verbose = false;
  for (int option = 0; (option = ::getopt(argc, argv, "c:ip:t:v")) != -1;) {
    switch (option) {
      case 'c':
        load.config_directory = ::optarg;
        break;
      case 'i':
        break;  // the process id is always logged
      case 'p': {
        const auto named = level_of(::optarg);
        if (!named) { return usage(invalid_priority(::optarg)); }
        level = *named;
        break;
      }
      case 't':
        tag = ::optarg;
        break;
      case 'v':
        verbose = true;
        break;
      default:
        return usage(kUsage);
    }
  }
  // postlog runs set-group-ID, so that every user reaches postlogd: what the user says must not become a way in.
  auto trusted = config::trusted_config_directory(load.config_directory);
  if (!trusted) { return usage(trusted.error().context); }
  load.config_directory = std::move(*trusted);
  const std::string tag_from_environment = environment("MAIL_LOGTAG");
  config::clean_environment();
  const auto config = config::Snapshot::load(load);
  if (!config) { return usage(config.error().message()); }
  log::Settings settings = config::log_settings(**config, "postlog", verbose && !config::is_setgid());
  // Before the mail system runs and after it has ended the administrator's scripts write the file themselves.
  if (!config::is_setgid()) { settings.fallback_file = config::fallback_log_file(**config); }
  if (tag.empty()) { tag = tag_from_environment; }
  // Any user may run this: a tag with line breaks would forge lines.
  if (!tag.empty()) { settings.program_name = printable(tag); }
  log::open(settings);
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const auto write = [&](std::string_view text) {
    log::write(level, text);
    if (terminal) { fmt::print(stderr, "{}: {}\n", settings.program_name, log::labelled(level, text)); }
  };
  if (::optind < argc) {
    std::string text = argv[::optind];
    for (int i = ::optind + 1; i < argc; ++i) { text += std::string(" ") + argv[i]; }
    write(text);
  } else {
    for (std::string line; std::getline(std::cin, line);) { write(line); }
  }
  return 0;
}
