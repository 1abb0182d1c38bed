#include "commands/postconf/parameter_texts.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace stagepost::postconf {
namespace {

std::string_view unit_name(char unit) {
  switch (unit) {
    case 'm':
      return "minutes";
    case 'h':
      return "hours";
    case 'd':
      return "days";
    case 'w':
      return "weeks";
    default:
      return "seconds";
  }
}

/// ", 1 to 100", ", at least 1", or nothing.
std::string range(std::int64_t minimum, std::int64_t maximum, std::string_view unit) {
  const bool limited = maximum < std::numeric_limits<std::int32_t>::max();
  if (limited) { return fmt::format(", {} to {}{}", minimum, maximum, unit); }
  return minimum > 0 ? fmt::format(", at least {}{}", minimum, unit) : "";
}

}  // namespace

const ParameterText* find_parameter_text(std::string_view name) {
  const auto texts = parameter_texts();
  const auto place = std::ranges::lower_bound(texts, name, {}, &ParameterText::name);
  return place != texts.end() && place->name == name ? &*place : nullptr;
}

std::string describe_type(const config::Parameter& parameter) {
  using config::Type;
  switch (parameter.type) {
    case Type::integer:
      return "integer" + range(parameter.minimum, parameter.maximum, "");
    case Type::time:
      return fmt::format("time, in {} without a unit{}", unit_name(parameter.time_unit),
                         range(parameter.minimum, parameter.maximum, " s"));
    case Type::boolean:
      return "yes or no";
    case Type::raw:
      return "text; its $names are filled in by the program that uses it";
    case Type::text:
      break;
  }
  return parameter.minimum > 0 ? "text, not empty" : "text";
}

}  // namespace stagepost::postconf
