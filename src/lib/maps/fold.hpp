// Case folding of lookup keys: ASCII at no cost, the rest by Unicode's rules.
#pragma once

#include <string>
#include <string_view>

#include "maps/open.hpp"

namespace stagepost::maps {

/// `key` in lower case. With Utf8::check, characters outside ASCII are folded too (full case folding, so that ß is ss);
/// text that is not UTF-8 is folded as ASCII.
[[nodiscard]] std::string fold_case(std::string_view key, Utf8 utf8);

}  // namespace stagepost::maps
