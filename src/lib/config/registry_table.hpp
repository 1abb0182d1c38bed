// Private to the registry: the words the rows of its table are written in. The parts of the table are each sorted by
// name; registry.cpp puts them together when it is compiled.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

#include "config/registry.hpp"

namespace stagepost::config::table {

inline constexpr std::int64_t kMaximumInteger = std::numeric_limits<std::int32_t>::max();

constexpr Parameter text(std::string_view name, std::string_view default_text) {
  return {.name = name, .type = Type::text, .default_text = default_text};
}
/// A text that must not be empty.
constexpr Parameter required(std::string_view name, std::string_view default_text) {
  return {.name = name, .type = Type::text, .default_text = default_text, .minimum = 1};
}
constexpr Parameter raw(std::string_view name, std::string_view default_text) {
  return {.name = name, .type = Type::raw, .default_text = default_text};
}
constexpr Parameter boolean(std::string_view name, std::string_view default_text) {
  return {.name = name, .type = Type::boolean, .default_text = default_text};
}
constexpr Parameter integer(std::string_view name, std::string_view default_text, std::int64_t minimum = 0,
                            std::int64_t maximum = kMaximumInteger) {
  return {.name = name, .type = Type::integer, .default_text = default_text, .minimum = minimum, .maximum = maximum};
}
/// The limits are in seconds, whatever the unit.
constexpr Parameter time(std::string_view name, std::string_view default_text, char unit, std::int64_t minimum = 0,
                         std::int64_t maximum = kMaximumInteger) {
  return {.name = name,
          .type = Type::time,
          .default_text = default_text,
          .time_unit = unit,
          .minimum = minimum,
          .maximum = maximum};
}

}  // namespace stagepost::config::table
