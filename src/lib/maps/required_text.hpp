// What every match of a POSIX extended regular expression contains, letter by letter: most patterns of a table can be
// ruled out by looking for that, which is many times faster than matching. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace stagepost::maps {

/// Pieces of plain text that all appear in each text the pattern matches, in the order of the pattern; empty when there
/// are none or the pattern is not understood. For patterns of bytes (the C locale): letters are as written, the caller
/// folds them for a pattern that ignores case.
[[nodiscard]] std::vector<std::string> required_text(std::string_view pattern);

}  // namespace stagepost::maps
