// See the header.
#include "commands/postfix/options.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/nearest_name.hpp"

namespace stagepost::postfix {
namespace {

constexpr std::array<std::pair<std::string_view, Command>, 14> kNames{{
    {"start", Command::start},
    {"start-fg", Command::start_fg},
    {"stop", Command::stop},
    {"abort", Command::abort},
    {"reload", Command::reload},
    {"status", Command::status},
    {"check", Command::check},
    {"flush", Command::flush},
    {"set-permissions", Command::set_permissions},
    {"drain", Command::drain},
    {"quick-stop", Command::quick_stop},
    {"upgrade-configuration", Command::upgrade_configuration},
    {"logrotate", Command::logrotate},
    {"post-install", Command::post_install},
}};

}  // namespace

std::optional<Command> command_named(std::string_view name) {
  for (const auto& [text, command] : kNames) {
    if (text == name) { return command; }
  }
  return std::nullopt;
}

std::string_view nearest_command(std::string_view name) {
  std::array<std::string_view, kNames.size()> names;
  std::ranges::transform(kNames, names.begin(), [](const auto& entry) { return entry.first; });
  return nearest_name(name, names);
}

std::vector<std::string> Options::parameters() const {
  std::vector<std::string> parameters;
  const auto named = command_named(command);
  const bool action_among_them = named == Command::post_install;
  if (!action_among_them && named != Command::set_permissions && named != Command::upgrade_configuration) { return {}; }
  for (const std::string& argument : arguments) {
    if (!action_among_them || argument.find('=') != std::string::npos) { parameters.push_back(argument); }
  }
  return parameters;
}

std::string Options::post_install_action() const {
  for (const std::string& argument : arguments) {
    if (argument.find('=') == std::string::npos) { return argument; }
  }
  return "";
}

Result<Options> parse_options(const std::vector<std::string>& arguments) {
  Options options;
  std::size_t next = 0;
  for (; next < arguments.size() && arguments[next].size() > 1 && arguments[next][0] == '-'; ++next) {
    const std::string argument = arguments[next];
    if (argument == "--") {
      ++next;
      break;
    }
    for (std::size_t i = 1; i < argument.size(); ++i) {
      if (argument[i] == 'D') {
        options.debug = true;
      } else if (argument[i] == 'v') {
        ++options.verbosity;
      } else if (argument[i] == 'c') {
        options.config_directory = argument.substr(i + 1);
        if (options.config_directory.empty() && next + 1 < arguments.size()) {
          options.config_directory = arguments[++next];
        }
        // Postfix's daemons change directory, so a relative name would mean something else to each of them.
        if (!options.config_directory.starts_with('/')) { return failure("-c requires absolute pathname"); }
        break;
      } else {
        return failure(std::string(kUsage));
      }
    }
  }
  if (next < arguments.size()) { options.command = arguments[next++]; }
  options.arguments.assign(arguments.begin() + static_cast<std::ptrdiff_t>(next), arguments.end());
  return options;
}

}  // namespace stagepost::postfix
