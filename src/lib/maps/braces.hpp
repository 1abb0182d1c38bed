// The { } of table names and parameter lists: `inline:{a=b, {c = d e}}`, `pipemap:{x:y z:{p, q}}`. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::maps {

/// Items between comma and white space outside braces; the views point into `text`. Error: "missing '}'".
[[nodiscard]] Result<std::vector<std::string_view>> split_outside_braces(std::string_view text);

/// What is between the brace at the start of `text` and its partner, which must be the last character. The errors say
/// what Postfix says: "no '{' at start of text in ...", "missing '}' in ...", "syntax error after '}' in ...".
[[nodiscard]] Result<std::string_view> inside_braces(std::string_view text);

}  // namespace stagepost::maps
