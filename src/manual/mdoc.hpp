// Reads the manual pages under docs/man while the project is built: their text for --help, and the parameters that
// each of them names. Understands the part of mdoc(7) that those pages use and refuses the rest.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::manual {

/// A page as plain text: its name, then the sections a user of the command needs (SYNOPSIS, DESCRIPTION, EXAMPLES).
/// Error: a macro that is not known, with its line.
[[nodiscard]] Result<std::string> help_text(std::string_view page);

/// The parameters (.Va) that a page names as read, in all sections but those on compatibility and on other pages.
struct ParametersNamed {
  std::set<std::string, std::less<>> own;          ///< by the page's program
  std::set<std::string, std::less<>> all_daemons;  ///< below "Parameters of all daemons", which master(8) has
};
[[nodiscard]] ParametersNamed parameters_named(std::string_view page);

/// Words of a macro line; a "..." is one word. Escapes are left in.
[[nodiscard]] std::vector<std::string> words_of(std::string_view line);

}  // namespace stagepost::manual
