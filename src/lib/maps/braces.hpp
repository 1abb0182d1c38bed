// The { } of table names and parameter lists: `inline:{a=b, {c = d e}}`, `pipemap:{x:y z:{p, q}}`. Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::maps {

/// Items between comma and white space outside braces; the views point into `text`. Error: "missing '}'".
[[nodiscard]] Result<std::vector<std::string_view>> split_outside_braces(std::string_view text);

/// What is between the first and the last character if these are a pair of braces; nullopt otherwise.
[[nodiscard]] std::optional<std::string_view> inside_braces(std::string_view text);

}  // namespace stagepost::maps
