// Where new queue files come into being, before a rename gives them their name in incoming/ or hold/. A file system
// puts a new file close to its directory. With one directory for all mail, each creation searches the same small part
// of the disk, past everything that came and went there a moment ago (measured on ext4 without a journal: 10 % of the
// whole system's CPU time); several directories, spread over the disk, keep that search short.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace stagepost::queue {

/// Below queue_directory; ours, unknown to Postfix, and empty but for what a crash left.
inline constexpr std::string_view kNurseryDirectory = "journal/new";

class Nursery {
 public:
  static constexpr unsigned kDirectories = 64;

  /// `root` as in QueueDirectory.
  explicit Nursery(const std::string& root);
  /// The directory for the next file; they take turns. It may not exist (an older spool): the caller then uses the
  /// queue's own.
  [[nodiscard]] const std::string& next();

  /// All directories, for whoever removes leftovers.
  [[nodiscard]] const std::vector<std::string>& directories() const { return directories_; }

 private:
  std::vector<std::string> directories_;
  std::size_t turn_;
};

/// Asks ext4 to spread the subdirectories of `directory` over the disk; other file systems do as they like.
void spread_subdirectories(const std::string& directory);

}  // namespace stagepost::queue
