// Writing a whole indexed table (lmdb, cdb, hash, btree): what postmap and postalias do to every type that has files of
// its own. Knows no coroutines: modules implement it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/result.hpp"

namespace stagepost::maps {

/// Whether keys and values in the file end with NUL. `either`: reading tries both, writing does what is usual for the
/// type on Linux; postmap -N is `with`, -n is `without`.
enum class TrailingNul : std::uint8_t { either, with, without };

/// Writes one table. Readers see all of the change or nothing.
class TableWriter {
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
    std::size_t map_size_bytes = 16'777'216;  ///< lmdb: to start with; doubled as often as needed
    std::size_t cache_size_bytes = 0;         ///< hash, btree: berkeley_db_create_buffer_size; 0: the library's own
    std::size_t expected_entries = 0;         ///< a guess, for types that profit from it; 0: unknown
    TrailingNul nul = TrailingNul::either;
  };

  TableWriter() = default;
  TableWriter(const TableWriter&) = delete;
  TableWriter& operator=(const TableWriter&) = delete;
  /// Without commit() nothing changes, but in a file whose type can only be changed in place (hash and btree updates).
  virtual ~TableWriter() = default;

  /// False when the key was there and was kept. Error for a key the type cannot store.
  [[nodiscard]] virtual Result<bool> put(std::string_view key, std::string_view value, Existing existing) = 0;
  /// As put(), byte for byte, without adding NUL (NIS marks in alias files).
  [[nodiscard]] virtual Result<bool> put_raw(std::string_view key, std::string_view value, Existing existing) = 0;
  /// False when the key was not there.
  [[nodiscard]] virtual Result<bool> erase(std::string_view key) = 0;
  /// Durable when it returns: data, then the name in the directory.
  [[nodiscard]] virtual Result<> commit() = 0;
};

}  // namespace stagepost::maps
