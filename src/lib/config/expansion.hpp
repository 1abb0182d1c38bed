// `$name` expansion as postconf(5) describes it. Pure text work; what a name means is the caller's business, so the
// same code serves main.cf, `-o`, default_rbl_reply and forward_path.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::config {

struct ExpansionLimits {
  std::size_t depth = 50;                               ///< nested ${...} in one text
  std::size_t result_bytes = std::size_t{1024} * 1024;  ///< of the whole expansion
};

/// The value of `name`, already final (it is not expanded again); nullopt when undefined, which expands to nothing and
/// counts as empty in ${name?x} and ${name:x}.
using Lookup = std::function<Result<std::optional<std::string>>(std::string_view name)>;

/// Supports $name ${name} $(name) ${name?x} ${name:x} ${name?{x}:{y}} ${{a} op {b} ? {x} : {y}} with op one of
/// == != < <= > >= and ==level !=level <level <=level >level >=level, and $$. Error: malformed text or a limit.
[[nodiscard]] Result<std::string> expand(std::string_view text, const Lookup& lookup,
                                         const ExpansionLimits& limits = {});

}  // namespace stagepost::config
