// A lookup table: one key in, at most one value out. What every table type (file, pattern list, in-memory, network)
// looks like to the rest of the system. Search order over partial keys is lookup_order.hpp, several tables in a row are
// chain.hpp, making a table from "type:name" is open.hpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "net/task.hpp"

namespace stagepost::maps {

/// The value stored under a key, or nothing: the key is not there. A failed lookup is an Error, never "nothing", so
/// that a broken table can only defer mail.
using Found = std::optional<std::string>;

/// What a table's left-hand sides are, which decides what it may be asked. Fixed strings are also asked for parts of a
/// name (user@domain, then domain ...); patterns see whole names only, and match in the case the name came in.
enum class KeyKind : std::uint8_t { fixed, pattern };

/// The longest key a table looks for and the longest value it may return, in bytes. A longer key is simply not found; a
/// longer value is an Error.
inline constexpr std::size_t kKeyLimit = 100'000;
inline constexpr std::size_t kValueLimit = 16U << 20U;

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
  /// tell. Case folding, where the table's kind and its OpenContext ask for it, happens inside.
  [[nodiscard]] virtual std::optional<Result<Found>> find_now(std::string_view key) = 0;

  /// The answer, waiting for it if need be. The default is for tables whose find_now() always answers.
  [[nodiscard]] virtual net::Task<Result<Found>> find(std::string key);

  /// True when find_now() always answers.
  [[nodiscard]] virtual bool immediate() const { return true; }

  using Visit = std::function<Result<>(std::string_view key, std::string_view value)>;
  /// Calls `visit` for each entry, in the table's own order (postmap -s). Error when the type cannot be listed, or the
  /// first Error that `visit` returns.
  [[nodiscard]] virtual Result<> each(const Visit& visit);

 private:
  std::string name_;
  KeyKind kind_;
};

}  // namespace stagepost::maps
