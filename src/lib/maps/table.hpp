// A lookup table: one key in, at most one value out. What every table type (file, pattern list, in-memory, network)
// looks like to the rest of the system. Search order over partial keys is lookup_order.hpp, several tables in a row are
// chain.hpp, making a table from "type:name" is open.hpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"
#include "maps/lookup.hpp"
#include "net/task.hpp"

namespace stagepost::maps {

class Table {
 public:
  Table(std::string name, KeyKind kind) : name_(std::move(name)), kind_(kind) {}
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  virtual ~Table() = default;

  /// "type:name" as configured.
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] KeyKind key_kind() const { return kind_; }

  /// The answer when it can be had without waiting (file and in-memory tables: always); nullopt when only find() can
  /// tell. An Error says why, not which table it was: that is lookup_error()'s business. Case folding, where the
  /// table's kind and its OpenContext ask for it, happens inside.
  [[nodiscard]] virtual std::optional<Result<Found>> find_now(std::string_view key) = 0;

  /// The answer, waiting for it if need be, at most as long as the type's own time limit; several finds of one table
  /// may be under way. The default is for tables whose find_now() always answers.
  [[nodiscard]] virtual net::Task<Result<Found>> find(std::string key);

  /// True when find_now() always answers.
  [[nodiscard]] virtual bool immediate() const { return true; }

  using Visit = maps::Visit;
  /// Calls `visit` for each entry, in the table's own order (postmap -s). Error when the type cannot be listed, or the
  /// first Error that `visit` returns.
  [[nodiscard]] virtual Result<> each(const Visit& visit);

  /// Stores an entry, over an older one of the same key. Needs Access::write. Error, by default, when the type cannot.
  [[nodiscard]] virtual net::Task<Result<>> put(std::string key, std::string value);
  /// Removes an entry; false: it was not there. Access and errors as for put().
  [[nodiscard]] virtual net::Task<Result<bool>> erase(std::string key);

 private:
  std::string name_;
  KeyKind kind_;
};

/// `reason`, with which a lookup of `key` ended, as daemons log it: "type:name lookup error for "key": reason". The
/// table's name is not repeated when the reason has it.
[[nodiscard]] Error lookup_error(const Table& table, std::string_view key, Error reason);
/// The same as commands print it: "table type:name: query error: reason".
[[nodiscard]] Error query_error(const Table& table, Error reason);

}  // namespace stagepost::maps
