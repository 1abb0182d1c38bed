#include "config/registry.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/text.hpp"
#include "config/build_directories.hpp"
#include "config/registry_table.hpp"

namespace stagepost::config {
namespace {

std::vector<Parameter> merge_tables() {
  std::vector<Parameter> rows;
  for (const auto part : {table::part_1(), table::part_2(), table::part_3()}) {
    rows.insert(rows.end(), part.begin(), part.end());
  }
  for (const auto part : {table::later_releases(), table::differences()}) {
    for (const Parameter& row : part) {
      const auto place = std::ranges::lower_bound(rows, row.name, {}, &Parameter::name);
      if (place != rows.end() && place->name == row.name) {
        *place = row;
      } else {
        rows.insert(place, row);
      }
    }
  }
  return rows;
}

// Sorted by suffix, which is how postconf lists them. The defaults are the general parameters of the queue manager.
constexpr ServiceParameter kServiceParameters[] = {
    {"_delivery_slot_cost", Type::integer, "$default_delivery_slot_cost"},
    {"_delivery_slot_discount", Type::integer, "$default_delivery_slot_discount"},
    {"_delivery_slot_loan", Type::integer, "$default_delivery_slot_loan"},
    {"_destination_concurrency_failed_cohort_limit", Type::integer,
     "$default_destination_concurrency_failed_cohort_limit"},
    {"_destination_concurrency_limit", Type::integer, "$default_destination_concurrency_limit"},
    {"_destination_concurrency_negative_feedback", Type::text, "$default_destination_concurrency_negative_feedback"},
    {"_destination_concurrency_positive_feedback", Type::text, "$default_destination_concurrency_positive_feedback"},
    {"_destination_rate_delay", Type::time, "$default_destination_rate_delay"},
    {"_destination_recipient_limit", Type::integer, "$default_destination_recipient_limit"},
    {"_extra_recipient_limit", Type::integer, "$default_extra_recipient_limit"},
    {"_initial_destination_concurrency", Type::integer, "$initial_destination_concurrency"},
    {"_minimum_delivery_slots", Type::integer, "$default_minimum_delivery_slots"},
    {"_recipient_limit", Type::integer, "$default_recipient_limit"},
    {"_recipient_refill_delay", Type::time, "$default_recipient_refill_delay"},
    {"_recipient_refill_limit", Type::integer, "$default_recipient_refill_limit"},
    {"_time_limit", Type::time, "$command_time_limit", true},
    {"_transport_rate_delay", Type::time, "$default_transport_rate_delay"},
};

}  // namespace

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> rows = merge_tables();
  return rows;
}

const Parameter* find_parameter(std::string_view name) {
  const auto rows = parameters();
  const auto place = std::ranges::lower_bound(rows, name, {}, &Parameter::name);
  return place != rows.end() && place->name == name ? &*place : nullptr;
}

std::span<const ServiceParameter> service_parameters() { return kServiceParameters; }

const ServiceParameter* find_service_parameter(std::string_view name) {
  const ServiceParameter* best = nullptr;
  for (const ServiceParameter& parameter : kServiceParameters) {
    if (name.size() > parameter.suffix.size() && name.ends_with(parameter.suffix) &&
        (best == nullptr || parameter.suffix.size() > best->suffix.size())) {
      best = &parameter;
    }
  }
  return best;
}

std::string_view default_config_directory() { return STAGEPOST_BUILD_CONFIG_DIRECTORY; }

std::optional<std::int64_t> parse_time(std::string_view text, char default_unit) {
  if (text.starts_with('+')) { text.remove_prefix(1); }
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const char unit = digits < text.size() ? text[digits] : default_unit;
  if (text.empty()) { return std::nullopt; }
  // A unit alone is zero of it, and what follows the unit is not looked at: "5min" is five minutes.
  const std::optional<std::uint64_t> number = digits == 0 ? 0 : text::parse_unsigned(text.substr(0, digits));
  std::uint64_t seconds = 0;
  switch (unit) {
    case 's':
      seconds = 1;
      break;
    case 'm':
      seconds = 60;
      break;
    case 'h':
      seconds = 3600;
      break;
    case 'd':
      seconds = 86400;
      break;
    case 'w':
      seconds = 604800;
      break;
    default:
      return std::nullopt;
  }
  constexpr std::uint64_t kLimit = std::numeric_limits<std::int32_t>::max();
  if (!number || *number > kLimit / seconds) { return std::nullopt; }
  return static_cast<std::int64_t>(*number * seconds);
}

}  // namespace stagepost::config
