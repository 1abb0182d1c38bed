#include "base/option_value.hpp"

#include <charconv>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost {

Result<std::uint64_t> option_number(std::string_view text, std::string_view what, std::uint64_t least,
                                    std::uint64_t most) {
  const auto value = text::parse_unsigned(text);
  if (!value || *value < least || *value > most) { return failure(fmt::format("bad {}: {}", what, text)); }
  return *value;
}

Result<double> option_decimal(std::string_view text, std::string_view what) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0) || value > 1e7) {
    return failure(fmt::format("bad {}: {}", what, text));
  }
  return value;
}

}  // namespace stagepost
