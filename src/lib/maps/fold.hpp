// Case folding of lookup keys as a table's context asks for it.
#pragma once

#include <string>
#include <string_view>

#include "mail/address.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// `key` in lower case: by Unicode's rules with Utf8::check, only ASCII otherwise.
[[nodiscard]] inline std::string fold_case(std::string_view key, Utf8 utf8) {
  return mail::fold_case(key, utf8 == Utf8::check ? mail::Utf8::allow : mail::Utf8::forbid);
}

}  // namespace stagepost::maps
