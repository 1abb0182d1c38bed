// Every main.cf parameter once: name, type, default and range. The table is data (registry_*.hpp); nothing else in the
// tree spells out a default. Names that a master.cf service creates (`relay_destination_concurrency_limit`) are
// described by their suffix, because the services are not known at build time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stagepost::config {

enum class Type : std::uint8_t {
  text,     ///< `$name` is expanded
  raw,      ///< kept as written: its `$name` belong to the program that uses it (default_rbl_reply, forward_path ...)
  integer,  ///< decimal, 64 bit
  time,     ///< decimal and one of s m h d w; without one, Parameter::time_unit
  boolean,  ///< yes or no, any case
};

/// Defaults that depend on the host, the process or the build instead of on the table.
enum class Computed : std::uint8_t { no, myhostname, mydomain, mynetworks, process_id, process_name, config_directory };

struct Parameter {
  std::string_view name;
  Type type = Type::text;
  /// Unexpanded, as `postconf -d` prints it. Empty for a computed one.
  std::string_view default_text = {};
  /// s, m, h, d or w: what a bare number means. Only for Type::time.
  char time_unit = 's';
  /// Allowed range of an integer or of a time in seconds; for a text, `minimum` 1 means "not empty".
  std::int64_t minimum = 0;
  std::int64_t maximum = INT64_MAX;
  Computed computed = Computed::no;
};

/// All built-in parameters, sorted by name (bytewise). For those who list them; the first call makes the list.
[[nodiscard]] std::span<const Parameter> parameters();
/// Those whose default may be wrong because of what others are set to: it names others, and not any text will do.
[[nodiscard]] std::vector<Parameter> dependent_parameters();
/// nullopt when there is no built-in parameter of that name. Its texts live as long as the program.
[[nodiscard]] std::optional<Parameter> find_parameter(std::string_view name);

/// A parameter that exists per delivery transport: `<service>` + suffix, e.g. "_destination_concurrency_limit".
struct ServiceParameter {
  std::string_view suffix;
  Type type = Type::integer;
  /// Default, the same for every service: "$default_destination_concurrency_limit".
  std::string_view default_text = {};
  /// Only pipe(8) and spawn(8) services have it (time_limit).
  bool only_commands = false;
};
[[nodiscard]] std::span<const ServiceParameter> service_parameters();
/// The longest suffix that `name` ends in, with something in front of it; nullptr if none.
[[nodiscard]] const ServiceParameter* find_service_parameter(std::string_view name);

/// The config_directory chosen at build time; what MAIL_CONFIG or -c replaces.
[[nodiscard]] std::string_view default_config_directory();

/// Value of a Type::time text in seconds: "5", "5m", "1h"; as with Postfix, what follows the unit is ignored ("5min")
/// and a unit alone is zero. nullopt when malformed or beyond 2^31-1 seconds.
[[nodiscard]] std::optional<std::int64_t> parse_time(std::string_view text, char default_unit);

}  // namespace stagepost::config
