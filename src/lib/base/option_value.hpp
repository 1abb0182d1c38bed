// Values of command line options. Errors are one line for the terminal: "bad session count: x".
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.hpp"

namespace stagepost {

/// A decimal number from `least` to `most`; `what` names the option's value in the error.
[[nodiscard]] Result<std::uint64_t> option_number(std::string_view text, std::string_view what, std::uint64_t least,
                                                  std::uint64_t most);
/// A number above 0 and up to ten million, with or without a fraction.
[[nodiscard]] Result<double> option_decimal(std::string_view text, std::string_view what);

}  // namespace stagepost
