// Makes a table from its configured name, "type:name" (DATABASE_README). Types are found in a Registry: the built-in
// ones, those of loadable modules (module_loading.hpp), and what layers above add. A program gets its OpenContext from
// context.hpp.
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
#include "maps/table_writer.hpp"

namespace stagepost::net {
class EventLoop;
}

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
  /// Where tables wait for servers and threads; it outlives the tables. Null, in a command without a loop: as
  /// may_block; types that need a loop cannot be opened.
  net::EventLoop* loop = nullptr;
  /// A command that has nothing else to do: client libraries may block the caller's thread.
  bool may_block = false;
  Access access = Access::read;
  /// postmap -n, -N: how keys end in lmdb, hash and btree files.
  TrailingNul nul = TrailingNul::either;
  /// The value of a main.cf parameter or name, expanded; nullopt when it is not set, or when there is no configuration.
  std::function<std::optional<std::string>(std::string_view)> parameter = {};
  Substitution substitution = Substitution::allowed;
  CaseFold fold = CaseFold::yes;
  Utf8 utf8 = Utf8::check;
  std::size_t lmdb_map_size_bytes = 16'777'216;              ///< lmdb_map_size
  std::size_t berkeley_db_create_buffer_bytes = 16'777'216;  ///< berkeley_db_create_buffer_size
  std::size_t source_limit_bytes = 512U << 20U;              ///< a larger text table is an error
  std::size_t socketmap_reply_limit_bytes = 100'000;         ///< socketmap_max_reply_size
  /// For a table whose answers choose users, files or commands: proxy:type:name is opened here, without proxymap.
  bool security_sensitive = false;
  /// Where proxymap's sockets are, for programs whose working directory is another one; empty: the working directory.
  std::string queue_directory = {};
  /// Tables of modules within which this one is opened (NestedTable).
  std::size_t nesting = 0;
  /// A table file is looked at (stat) at most this often; a changed one is read again, whole, once it is this old.
  std::chrono::milliseconds recheck_interval{1000};
  std::function<void(std::string_view)> warn;       ///< one log line (level warning), without newline; may be empty
  std::function<void(std::string_view)> note = {};  ///< as `warn`, level info: what debug: tables say

  void warning(std::string_view line) const {
    if (warn) { warn(line); }
  }
};

/// `name` is what follows "type:".
using Opener = std::function<Result<std::unique_ptr<Table>>(std::string_view name, const OpenContext& context)>;
using WriterOpener =
    std::function<Result<std::unique_ptr<TableWriter>>(std::string_view name, const TableWriter::Options& options)>;

struct TableType {
  Opener open;
  /// Empty: postmap cannot build such a table.
  WriterOpener write = {};
  /// With `write`: the file of the table `name` is `name` + this.
  std::string file_suffix = {};
  /// How postmap calls a table in its warnings: "lmdb:name", "name.db" or "name", as Postfix does for each type.
  enum class Label : std::uint8_t { type_and_name, file, name } label = Label::type_and_name;
  /// Entries can be added and removed (postmap -i, -d).
  bool changeable = true;
  /// Cannot be opened for writing: its content is a text file, the configuration, other tables, or a server that only
  /// answers.
  bool read_only = false;
  /// Without `write`: Table::put() takes entries (postmap -i).
  bool takes_entries = false;
  /// What all tables of this type have as key_kind(); those made of others depend on these (key_kind_of).
  KeyKind keys = KeyKind::fixed;
};

/// Table types by name. Immutable once shared.
class Registry {
 public:
  /// cdb cidr debug environ fail inline internal lmdb pcre pipemap randmap regexp socketmap static tcp texthash
  /// unionmap unix
  [[nodiscard]] static const std::shared_ptr<const Registry>& built_in();

  /// A later entry replaces an earlier one.
  void add(std::string type, Opener opener) { add(std::move(type), TableType{.open = std::move(opener)}); }
  void add(std::string type, TableType how);
  /// Null when there is none.
  [[nodiscard]] const TableType* find(std::string_view type) const;
  /// Sorted, as `postconf -m` lists them.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::map<std::string, TableType, std::less<>> types_;
};

/// The types that `context` knows.
[[nodiscard]] const Registry& types_of(const OpenContext& context);

/// The key_kind() that "type:name" will have, without opening it: proxymap's clients must know it and cannot wait.
[[nodiscard]] KeyKind key_kind_of(std::string_view type_and_name, const OpenContext& context);

/// Opens "type:name". Errors: "unsupported dictionary type: hash", a missing or unreadable file (its
/// errno), bad syntax of the name. Bad lines inside a file are warnings and are skipped, as Postfix does.
[[nodiscard]] Result<std::unique_ptr<Table>> open(std::string_view type_and_name, const OpenContext& context);

/// As open(); on failure a stand-in that warns at once, answers each lookup with a temporary error, and tries to open
/// the real table again at most once a second, so that a daemon outlives a missing file (a Postfix daemon does too).
[[nodiscard]] std::unique_ptr<Table> open_or_stand_in(std::string_view type_and_name, const OpenContext& context);

/// Splits a parameter value into items at comma and white space outside {...}. "{" must be balanced.
[[nodiscard]] Result<std::vector<std::string>> split_list(std::string_view text);

}  // namespace stagepost::maps
