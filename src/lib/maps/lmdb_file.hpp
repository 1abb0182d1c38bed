// Indexed tables in LMDB files, "name.lmdb", as Postfix keeps them: one unnamed database, keys and values with a
// terminating NUL unless they were written without, LMDB's own locking off and fcntl locks on the whole file instead
// (lmdb_table(5)). Reading is for daemons, writing for postmap, postalias and caches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "maps/open.hpp"
#include "maps/table.hpp"

namespace stagepost::maps {

/// lmdb: for a Registry. Reading: a file that postmap replaced is picked up; one that is written in place needs no
/// notice. Waits up to 5 seconds for a writer's lock, then the lookup fails.
[[nodiscard]] TableType lmdb_type();
/// The same files under the name of another type, whose own library is absent ("hash", "btree").
[[nodiscard]] TableType lmdb_type_named(std::string type);

/// Writes one LMDB file in one transaction.
class LmdbWriter final : public TableWriter {
 public:
  /// `path` is the .lmdb file. Takes the exclusive lock and keeps it until the end.
  [[nodiscard]] static Result<std::unique_ptr<LmdbWriter>> open(const std::string& path, const Options& options);
  ~LmdbWriter() override;

  /// Error for a key of more than 511 bytes (with its NUL) or none.
  [[nodiscard]] Result<bool> put(std::string_view key, std::string_view value, Existing existing) override;
  [[nodiscard]] Result<bool> put_raw(std::string_view key, std::string_view value, Existing existing) override;
  [[nodiscard]] Result<bool> erase(std::string_view key) override;
  [[nodiscard]] Result<> commit() override;

 private:
  struct State;
  explicit LmdbWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace stagepost::maps
