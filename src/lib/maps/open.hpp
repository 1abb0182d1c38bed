// Makes a table from its configured name, "type:name" (DATABASE_README). Types are found in a Registry, so that layers
// above add theirs (proxy, socketmap, SQL) without this one knowing them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "maps/table.hpp"

namespace stagepost::maps {

class Registry;

/// Whether $1 in the result of a pattern table is replaced by matched text. Forbidden where the result chooses a
/// program, file or transport (alias_maps, transport_maps): such a rule is then dropped with a warning.
enum class Substitution : std::uint8_t { allowed, forbidden };
/// Keys of fixed-key tables are folded to lower case (postmap -f turns it off).
enum class CaseFold : std::uint8_t { no, yes };
/// smtputf8_enable: `check` folds by Unicode rules, finds nothing for a key that is not UTF-8 and fails on such a
/// value; `off` folds ASCII only and takes any bytes.
enum class Utf8 : std::uint8_t { off, check };

struct OpenContext {
  std::shared_ptr<const Registry> types;  ///< null: the built-in ones
  Substitution substitution = Substitution::allowed;
  CaseFold fold = CaseFold::yes;
  Utf8 utf8 = Utf8::check;
  std::size_t lmdb_map_size_bytes = 16'777'216;  ///< lmdb_map_size
  std::size_t source_limit_bytes = 512U << 20U;  ///< a larger text table is an error
  /// A table file is looked at (stat) at most this often; a changed one is read again, whole, once it is this old.
  std::chrono::milliseconds recheck_interval{1000};
  std::function<void(std::string_view)> warn;  ///< one log line (level warning), without newline; may be empty

  void warning(std::string_view line) const {
    if (warn) { warn(line); }
  }
};

using Opener = std::function<Result<std::unique_ptr<Table>>(std::string_view name, const OpenContext& context)>;

/// Table types by name. Immutable once shared.
class Registry {
 public:
  /// cidr environ fail inline internal lmdb pcre pipemap randmap regexp static texthash unionmap unix
  [[nodiscard]] static const std::shared_ptr<const Registry>& built_in();

  /// A later entry replaces an earlier one.
  void add(std::string type, Opener opener);
  /// Null when there is none.
  [[nodiscard]] const Opener* find(std::string_view type) const;
  /// Sorted, as `postconf -m` lists them.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::map<std::string, Opener, std::less<>> openers_;
};

/// Opens "type:name". Errors: "unsupported dictionary type: hash", a missing or unreadable file (its
/// errno), bad syntax of the name. Bad lines inside a file are warnings and are skipped, as Postfix does.
[[nodiscard]] Result<std::unique_ptr<Table>> open(std::string_view type_and_name, const OpenContext& context);

/// As open(); on failure a stand-in that warns at once, answers each lookup with a temporary error, and tries to open
/// the real table again at most once a second, so that a daemon outlives a missing file (a Postfix daemon does too).
[[nodiscard]] std::unique_ptr<Table> open_or_stand_in(std::string_view type_and_name, const OpenContext& context);

/// Splits a parameter value into items at comma and white space outside {...}. "{" must be balanced.
[[nodiscard]] Result<std::vector<std::string>> split_list(std::string_view text);

}  // namespace stagepost::maps
