// The configuration of one process: main.cf over the defaults, `-o` over main.cf, everything expanded and checked once.
// Immutable and shared: a session keeps the snapshot it started with, a reload makes a new one.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "config/main_cf.hpp"
#include "config/registry.hpp"

namespace stagepost::config {

using Overrides = std::vector<std::pair<std::string, std::string>>;

struct LoadOptions {
  /// Where main.cf is. Empty: default_config_directory().
  std::string config_directory = {};
  /// `-o name=value` in order; the last one of a name counts.
  Overrides overrides = {};
  /// Values of the parameters of the same name. Empty service_name: not started by master.
  std::string process_name = {};
  std::string service_name = {};
  /// True: $stress is "yes" (unless set explicitly).
  bool stress = false;
  /// yes: a bad value of a parameter that this process may use is an error. One that belongs to other programs
  /// (parameter_concerns) has its default here, and they say what is wrong when they start.
  /// no: no value is an error, and a typed getter of a bad value must not be called. For postconf and tools that have
  /// to run with a broken file.
  enum class Check { yes, no };
  Check check = Check::yes;
};

class Snapshot {
 public:
  /// Reads main.cf. Error, with "file, line N: ...": unreadable file, syntax, a value that is not of its parameter's
  /// type or range, a parameter that refers to itself.
  [[nodiscard]] static Result<std::shared_ptr<const Snapshot>> load(const LoadOptions& options);
  /// The same from memory; `file` is used in messages only. For tests and for other sources of configuration.
  [[nodiscard]] static Result<std::shared_ptr<const Snapshot>> from_text(std::string_view main_cf,
                                                                         std::string_view file,
                                                                         const LoadOptions& options);
  /// The same file contents with more overrides on top and `stress` as given (main.cf is not read again).
  [[nodiscard]] Result<std::shared_ptr<const Snapshot>> with(const Overrides& overrides, bool stress) const;

  // Values. A name that is neither built in, nor a per-transport parameter, nor set in main.cf or by an override is a
  // programming error (SP_ASSERT), as is a getter that does not fit the parameter's type.

  /// Expanded, for a Type::raw parameter as written; any type.
  [[nodiscard]] const std::string& text(std::string_view name) const;
  /// As written in main.cf, an override or the registry; not expanded.
  [[nodiscard]] const std::string& raw(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] std::chrono::seconds seconds(std::string_view name) const;
  [[nodiscard]] bool boolean(std::string_view name) const;
  /// text(name) split at comma and white space, a {...} kept in one piece (see split_list).
  [[nodiscard]] std::vector<std::string> list(std::string_view name) const;

  /// Per-transport values: `transport` + `suffix` if that is set or built in, otherwise the suffix's own default.
  /// integer("relay", "_destination_concurrency_limit"). `suffix` must be one of service_parameters().
  [[nodiscard]] std::int64_t integer(std::string_view transport, std::string_view suffix) const;
  [[nodiscard]] std::chrono::seconds seconds(std::string_view transport, std::string_view suffix) const;
  [[nodiscard]] std::string text(std::string_view transport, std::string_view suffix) const;

  /// For user-defined names (restriction classes, mua_client_restrictions ...): expanded, nullopt when not set
  /// anywhere.
  [[nodiscard]] std::optional<std::string> find_text(std::string_view name) const;
  /// Expands other text (a table's contents, a banner) with this snapshot's names.
  [[nodiscard]] Result<std::string> expand_text(std::string_view text) const;
  /// True when main.cf or an override gives the parameter a value (even an empty one).
  [[nodiscard]] bool is_set(std::string_view name) const;

  [[nodiscard]] const std::string& config_directory() const;
  /// main.cf as parsed, for tools.
  [[nodiscard]] const MainCf& main_cf() const;
  /// Names set in main.cf, sorted, each once.
  [[nodiscard]] std::vector<std::string> names_set() const;
  /// Every value that cannot be used, "file, line N: ..." each, in file order, whosever parameter it is.
  [[nodiscard]] const std::vector<std::string>& problems() const;
  /// The -o settings it was made with, in order.
  [[nodiscard]] const Overrides& overrides() const;
  /// What an administrator should know, one line each: entries that override an earlier one, assignments to read-only
  /// names. Names that nobody uses are found by name_check.hpp, which needs master.cf as well.
  [[nodiscard]] const std::vector<std::string>& warnings() const;

  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  struct State;
  explicit Snapshot(std::unique_ptr<State> state);
  [[nodiscard]] static Result<std::shared_ptr<const Snapshot>> build(LoadOptions options, MainCf main_cf);
  std::unique_ptr<State> state_;
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

/// Whether `process` may use `parameter`. False only for parameters whose name says that they are of other programs:
/// smtpd_*, smtp_* and so on. A process without a name may use all.
[[nodiscard]] bool parameter_concerns(std::string_view parameter, std::string_view process);

/// Pieces of a list value: separated by comma and white space; a piece that starts with "{" runs to its matching "}"
/// and keeps its braces ("inline:{a=b c=d}" stays whole as well). An unbalanced brace runs to the end.
[[nodiscard]] std::vector<std::string> split_list(std::string_view text);

}  // namespace stagepost::config
