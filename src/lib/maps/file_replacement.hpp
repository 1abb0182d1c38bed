// A table file that is about to get new content: locked against other writers (Postfix's too), written beside the old
// one, and put in its place in one step. Knows no coroutines: modules use it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "maps/table_writer.hpp"

namespace stagepost::maps {

/// Postfix locks lmdb files with fcntl(2), hash and btree files with flock(2), and of a cdb table, which nobody
/// changes, only the new file, "name.cdb.tmp", with flock(2).
enum class LockStyle : std::uint8_t { fcntl, flock, flock_new };

/// Locks the whole file, waiting at most `wait`. `exclusive` false: for reading. The lock ends with unlock_file() or
/// with the descriptor. Error: timed_out, another process has it.
[[nodiscard]] Result<> lock_file(int fd, LockStyle style, bool exclusive, std::chrono::milliseconds wait,
                                 std::string_view path);
void unlock_file(int fd, LockStyle style);

class FileReplacement {
 public:
  /// Takes the exclusive lock of `path` if it exists, and makes the new file, empty, with the owner and mode of the old
  /// one (or `options.file_mode`). With Mode::update and an existing file, or where this directory may not be written,
  /// there is no new file: working_path() is the file itself.
  [[nodiscard]] static Result<FileReplacement> open(const std::string& path, const TableWriter::Options& options,
                                                    LockStyle style);
  FileReplacement(FileReplacement&& other) noexcept;
  FileReplacement& operator=(FileReplacement&&) = delete;
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;
  /// Without commit() the old file stays.
  ~FileReplacement();

  /// The file that readers open; symbolic links are followed.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& working_path() const { return working_path_; }
  [[nodiscard]] bool in_place() const { return !temporary_; }
  [[nodiscard]] bool existed() const { return existing_.has_value(); }

  /// Syncs the new file, puts it in the old one's place and syncs the directory. In place: nothing but the unlocking.
  [[nodiscard]] Result<> commit();

 private:
  FileReplacement() = default;
  [[nodiscard]] Result<> lock_existing(LockStyle style);
  [[nodiscard]] Result<> create_beside(mode_t file_mode, LockStyle style);
  [[nodiscard]] Result<unique_fd> open_new(mode_t mode, LockStyle style);

  std::string path_;
  std::string working_path_;
  std::optional<struct stat> existing_;
  unique_fd locked_file_;
  bool temporary_ = false;
};

}  // namespace stagepost::maps
