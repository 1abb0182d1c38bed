// A table's source file: read whole, and looked at again now and then to see whether it was changed.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/stat.h>

#include "base/deadline.hpp"
#include "base/result.hpp"

namespace stagepost::maps {

/// The log line about a file that cannot be read again. `table` is "type:name"; an errno says enough about the file.
[[nodiscard]] std::string unreadable_change(std::string_view table, const Error& reason);

class WatchedFile {
 public:
  WatchedFile(std::string path, std::chrono::milliseconds interval) : path_(std::move(path)), interval_(interval) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  /// The whole file; from now on changes are relative to what was read.
  [[nodiscard]] Result<std::string> load(std::size_t limit_bytes);
  /// Takes what is at the path now as the state that changes are relative to (for files that are mapped, not read).
  [[nodiscard]] Result<> note();
  /// True when the file differs from the one loaded and looks complete: it has not been written for an interval, or did
  /// not change between two looks. Looks at the disk at most once an interval. A file that is gone has not changed.
  [[nodiscard]] bool changed();

 private:
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size_bytes = 0;
    std::int64_t modified_ns = 0;
    std::int64_t status_changed_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  [[nodiscard]] static Identity identity(const struct stat& status);
  [[nodiscard]] bool written_recently(const Identity& id) const;
  void remember(const Identity& id);

  std::string path_;
  std::chrono::milliseconds interval_;
  Identity loaded_;
  std::optional<Identity> pending_;
  /// The file was written so shortly before it was read that a later write could leave the same time stamp.
  bool read_again_ = false;
  SteadyClock::time_point next_look_{};
};

}  // namespace stagepost::maps
