// Command line of postfix(1). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::postfix {

enum class Command {
  start,
  start_fg,
  stop,
  drain,
  quick_stop,
  abort,
  reload,
  status,
  check,
  flush,
  set_permissions,
  upgrade_configuration,
  logrotate,
  post_install
};

struct Options {
  std::string config_directory;        ///< -c; empty: MAIL_CONFIG or the built-in one
  bool debug = false;                  ///< -D
  unsigned verbosity = 0;              ///< -v
  std::string command;                 ///< as written; empty when missing
  std::vector<std::string> arguments;  ///< after the command

  /// The arguments that are meant as name=value: none for commands that ignore arguments.
  [[nodiscard]] std::vector<std::string> parameters() const;
  /// What `post-install` is to do: the first argument without "=". Empty when missing.
  [[nodiscard]] std::string post_install_action() const;
};

inline constexpr std::string_view kUsage = "usage: postfix [-c config_dir] [-Dv] command";
inline constexpr std::string_view kCommands =
    "start (or stop, reload, abort, flush, check, status, set-permissions, upgrade-configuration, logrotate)";

/// `arguments` without the program name. Error: kUsage, with the bad option in front where there is one.
[[nodiscard]] Result<Options> parse_options(const std::vector<std::string>& arguments);
[[nodiscard]] std::optional<Command> command_named(std::string_view name);
/// The command that a mistyped name is close to; empty when there is none.
[[nodiscard]] std::string_view nearest_command(std::string_view name);

}  // namespace stagepost::postfix
