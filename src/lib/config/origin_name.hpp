// Debian's reading of myorigin: a value that begins with "/" names a file whose first line is the name (/etc/mailname).
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::config {

/// The name that parameter myorigin stands for: `value` itself, or the first line of the file it names, blanks around
/// it dropped. Errors: the file cannot be read, its first line is empty, and, for both kinds, more than one word.
[[nodiscard]] Result<std::string> origin_name(std::string_view value);

}  // namespace stagepost::config
