// postconf(1): shows and changes main.cf and master.cf.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "commands/postconf/parameters.hpp"

namespace stagepost::postconf {

/// Everything but the writing to standard output and error. `arguments` without the program's name.
[[nodiscard]] Result<Output> run(const std::vector<std::string>& arguments);

}  // namespace stagepost::postconf
