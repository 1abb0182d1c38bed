// master.cf as data: the services master listens for, with their columns and arguments.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "config/logical_lines.hpp"

namespace stagepost::config {

enum class ServiceType : std::uint8_t { inet, unix_stream, unix_dgram, fifo, pass };
/// As written in the second column: "inet", "unix", "unix-dgram", "fifo", "pass".
[[nodiscard]] std::string_view to_string(ServiceType type);

struct ServiceEntry {
  std::string name;  ///< "smtp", "127.0.0.1:submission", "cleanup"
  ServiceType type = ServiceType::unix_stream;
  bool private_ = true;
  bool unprivileged = true;
  bool chroot = false;
  std::chrono::seconds wakeup{0};        ///< 0: never
  bool wakeup_only_if_used = false;      ///< "?" after the wakeup time
  std::optional<std::uint32_t> maxproc;  ///< empty: default_process_limit ("-"); 0: no limit
  std::string command;                   ///< program name, below daemon_directory
  /// Arguments after the command, `-o` among them, with outer braces of `{ ... }` arguments removed.
  std::vector<std::string> args;
  /// The `-o name=value` among args, in order: what to lay over main.cf.
  std::vector<std::pair<std::string, std::string>> overrides;
  std::size_t line = 0;  ///< in the file, from 1
  /// For display and editing: seven columns, the command, then each argument, in braces when there is white space
  /// inside; every -o is two pieces, "-o" and "name=value". The words of a line that means the same.
  std::vector<std::string> columns;
  /// Where the leading options end in `columns`: a "-o" behind that is an argument like any other.
  std::size_t options_end = 0;

  /// "smtp/inet": the identity of a service.
  [[nodiscard]] std::string key() const { return name + "/" + std::string(to_string(type)); }
  [[nodiscard]] bool operator==(const ServiceEntry&) const = default;
};

struct MasterCf {
  std::string file;
  /// In file order; a later entry with the same name and type replaced the earlier one in its place.
  std::vector<ServiceEntry> services;
  std::vector<std::string> warnings;
  [[nodiscard]] const ServiceEntry* find(std::string_view name, ServiceType type) const;
};

/// `strict`: for master. What it cannot start is an error, a later entry replaces an earlier one of the same name and
/// type. `as_written`: for postconf, which shows and repairs files that master refuses. Only missing columns and
/// columns with a value of the wrong form are errors; unbalanced braces and a bad -o are warnings; duplicates stay.
enum class Reading : std::uint8_t { strict, as_written };

/// One entry, without comments and line breaks. Errors as parse_master_cf, without a place.
[[nodiscard]] Result<ServiceEntry> parse_service(std::string_view line, Reading reading);

/// Error with "file, line N: ..." for a missing or bad column, an unbalanced brace, a bad -o, a private inet service, a
/// service name with "/" or control characters, or a broken limit.
[[nodiscard]] Result<MasterCf> parse_master_cf(std::string_view content, std::string_view file,
                                               const FileLimits& limits = {}, Reading reading = Reading::strict);
[[nodiscard]] Result<MasterCf> read_master_cf(const std::string& path, const FileLimits& limits = {},
                                              Reading reading = Reading::strict);

}  // namespace stagepost::config
