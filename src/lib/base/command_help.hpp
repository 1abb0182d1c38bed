// What all commands answer in the same way: --help, --version, and a mistyped long option. The text of --help is made
// from the command's manual page while it is built (src/manual), so that both say the same.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost {

struct CommandHelp {
  std::string_view name;
  std::string_view version;
  std::string_view text;  ///< ends with a line feed
};

/// The help of this program. Defined in a generated file that only programs of sp_program(... COMMAND) link.
extern const CommandHelp kCommandHelp;

/// Looks at argv[1] only, because a later word may be the value of an option or a text. Exit status of the program when
/// that is --help or --version (written to standard output: 0, or 1 if that fails) or a long option that is not in
/// `own` (one line on standard error, with the nearest one: `usage_status`). nullopt: go on.
[[nodiscard]] std::optional<int> answer_long_option(int argc, char** argv, const CommandHelp& help,
                                                    std::initializer_list<std::string_view> own = {},
                                                    int usage_status = 1);

/// "postmap: fatal: unknown option --hlep (did you mean --help?); \"postmap --help\" lists them"
[[nodiscard]] std::string unknown_long_option(const CommandHelp& help, std::string_view option,
                                              std::initializer_list<std::string_view> own);

}  // namespace stagepost
