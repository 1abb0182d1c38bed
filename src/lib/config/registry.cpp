#include "config/registry.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "base/text.hpp"
#include "config/build_directories.hpp"
#include "config/registry_differences.hpp"
#include "config/registry_later_releases.hpp"
#include "config/registry_table_1.hpp"
#include "config/registry_table_2.hpp"
#include "config/registry_table_3.hpp"

namespace stagepost::config {
namespace {

constexpr std::vector<Parameter> merge_tables() {
  std::vector<Parameter> rows;
  // Disjoint and in order.
  rows.insert(rows.end(), std::begin(table::kPart1), std::end(table::kPart1));
  rows.insert(rows.end(), std::begin(table::kPart2), std::end(table::kPart2));
  rows.insert(rows.end(), std::begin(table::kPart3), std::end(table::kPart3));
  const auto put = [&](const Parameter& row) {
    const auto place = std::ranges::lower_bound(rows, row.name, {}, &Parameter::name);
    if (place != rows.end() && place->name == row.name) {
      *place = row;
    } else {
      rows.insert(place, row);
    }
  };
  std::ranges::for_each(table::kLaterReleases, put);
  std::ranges::for_each(table::kDifferences, put);
  return rows;
}

// What every program carries has no pointers: they would be relocated, page by page, each time a program starts.
struct Row {
  std::uint32_t name_at = 0;  // in Table::octets
  std::uint32_t text_at = 0;
  std::uint16_t name_size = 0;
  std::uint16_t text_size = 0;
  Type type = Type::text;
  char time_unit = 's';
  Computed computed = Computed::no;
  std::int64_t minimum = 0;
  std::int64_t maximum = 0;
};

constexpr std::size_t count_octets() {
  std::size_t octets = 0;
  for (const Parameter& row : merge_tables()) { octets += row.name.size() + row.default_text.size(); }
  return octets;
}

constexpr bool depends_on_others(const Parameter& parameter) {
  return parameter.default_text.contains('$') && parameter.type != Type::raw &&
         (parameter.type != Type::text || parameter.minimum > 0);
}

constexpr std::size_t count_dependent() {
  const auto rows = merge_tables();
  return static_cast<std::size_t>(std::ranges::count_if(rows, depends_on_others));
}

struct Table {
  std::array<Row, merge_tables().size()> rows;
  std::array<char, count_octets()> octets;
  std::array<std::uint16_t, count_dependent()> dependent;  // places in `rows`

  [[nodiscard]] constexpr std::string_view name(const Row& row) const {
    return {octets.data() + row.name_at, row.name_size};
  }
  [[nodiscard]] constexpr Parameter parameter(const Row& row) const {
    return {.name = name(row),
            .type = row.type,
            .default_text = {octets.data() + row.text_at, row.text_size},
            .time_unit = row.time_unit,
            .minimum = row.minimum,
            .maximum = row.maximum,
            .computed = row.computed};
  }
};

constexpr Table kTable = [] {
  Table table{};
  std::size_t at = 0;
  const auto store = [&](std::string_view text) {
    const std::size_t begin = at;
    for (const char c : text) { table.octets[at++] = c; }
    return static_cast<std::uint32_t>(begin);
  };
  std::size_t i = 0;
  std::size_t dependent = 0;
  for (const Parameter& p : merge_tables()) {
    if (depends_on_others(p)) { table.dependent[dependent++] = static_cast<std::uint16_t>(i); }
    Row& row = table.rows[i++];
    row = {.name_at = store(p.name),
           .name_size = static_cast<std::uint16_t>(p.name.size()),
           .text_size = static_cast<std::uint16_t>(p.default_text.size()),
           .type = p.type,
           .time_unit = p.time_unit,
           .computed = p.computed,
           .minimum = p.minimum,
           .maximum = p.maximum};
    row.text_at = store(p.default_text);
  }
  return table;
}();

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
  static const std::vector<Parameter> rows = [] {
    std::vector<Parameter> all;
    all.reserve(kTable.rows.size());
    for (const Row& row : kTable.rows) { all.push_back(kTable.parameter(row)); }
    return all;
  }();
  return rows;
}

std::vector<Parameter> dependent_parameters() {
  std::vector<Parameter> found;
  found.reserve(kTable.dependent.size());
  for (const std::uint16_t place : kTable.dependent) { found.push_back(kTable.parameter(kTable.rows[place])); }
  return found;
}

std::optional<Parameter> find_parameter(std::string_view name) {
  const auto place = std::ranges::lower_bound(kTable.rows, name, {}, [](const Row& row) { return kTable.name(row); });
  if (place == kTable.rows.end() || kTable.name(*place) != name) { return std::nullopt; }
  return kTable.parameter(*place);
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
