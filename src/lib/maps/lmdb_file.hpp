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

/// Whether keys and values in the file end with NUL. `either`: reading tries both, writing adds it (Linux default);
/// postmap -N is `with`, -n is `without`.
enum class TrailingNul : std::uint8_t { either, with, without };

/// Opens `name`.lmdb for reading. A file that postmap replaced is picked up; one that is written in place needs no
/// notice. Waits up to 5 seconds for a writer's lock, then the lookup fails.
[[nodiscard]] Result<std::unique_ptr<Table>> open_lmdb(std::string_view name, const OpenContext& context);
[[nodiscard]] Result<std::unique_ptr<Table>> open_lmdb(std::string_view name, const OpenContext& context,
                                                       TrailingNul nul);

/// Writes one LMDB file in one transaction: readers see all of it or nothing.
class LmdbWriter {
 public:
  enum class Mode : std::uint8_t {
    /// A new file beside the old one takes its place at commit().
    replace,
    /// The existing file (made when missing) is changed in place.
    update,
  };
  enum class Existing : std::uint8_t { keep, overwrite };
  struct Options {
    Mode mode = Mode::replace;
    mode_t file_mode = 0644;  ///< of a file that did not exist; an existing one keeps its owner and mode
    std::size_t map_size_bytes = 16'777'216;  ///< to start with; doubled as often as needed
    TrailingNul nul = TrailingNul::either;
  };

  /// `path` is the .lmdb file. Takes the exclusive lock and keeps it until the end.
  [[nodiscard]] static Result<LmdbWriter> open(const std::string& path, const Options& options);
  LmdbWriter(LmdbWriter&&) noexcept;
  LmdbWriter& operator=(LmdbWriter&&) noexcept;
  /// Without commit() nothing changes.
  ~LmdbWriter();

  /// False when the key was there and was kept. Error for a key of more than 511 bytes (with its NUL) or none.
  [[nodiscard]] Result<bool> put(std::string_view key, std::string_view value, Existing existing);
  /// As put(), byte for byte, without adding NUL (NIS marks in alias files).
  [[nodiscard]] Result<bool> put_raw(std::string_view key, std::string_view value, Existing existing);
  /// False when the key was not there.
  [[nodiscard]] Result<bool> erase(std::string_view key);
  /// Durable when it returns: data, then the name in the directory.
  [[nodiscard]] Result<> commit();

 private:
  struct State;
  explicit LmdbWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace stagepost::maps
