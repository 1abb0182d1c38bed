// What listings of the queue told about messages, so that the next one looks at two files (stat) instead of reading
// them. Most of a long queue is the same a minute later. Knows neither files nor what the text says; all its functions
// may be called from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unordered_map>

namespace stagepost::delivery {

class ListingMemory {
 public:
  /// What changes with a file: each write, chmod(2), rename(2) and link(2) sets its time of change (ctime), which no
  /// program can set itself.
  struct FileState {
    ino_t inode = 0;  ///< 0: there is no file
    std::int64_t changed_ns = 0;
    std::int64_t size_bytes = 0;
    bool operator==(const FileState&) const = default;
  };
  [[nodiscard]] static FileState state_of(const struct stat& status);
  /// A change after `now_ns` (since the epoch) will be seen by its time. Not so for a file that has just been changed:
  /// the clock of file times goes in steps of up to 10 ms, or of a second where times have no fractions.
  [[nodiscard]] static bool is_settled(const FileState& file, std::int64_t now_ns);

  /// A message and its defer log, and what was told when they were like that.
  struct Told {
    FileState message;
    FileState log;
    std::string text;
  };

  /// At most about `limit_bytes` of memory.
  explicit ListingMemory(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  /// A listing begins; its number is for end().
  [[nodiscard]] std::uint64_t begin();
  /// This listing came to its end: what no listing since its beginning asked for is forgotten. Not called for one that
  /// was given up.
  void end(std::uint64_t listing);

  /// `name` is where the message is, queue and ID; `inode` that of its directory entry.
  [[nodiscard]] std::optional<Told> recall(ino_t inode, std::string_view name);
  /// Replaces what was known of `inode`. Both states were seen after `seen_ns` and before the files were read. Nothing
  /// is kept of files that are not settled, nor when there is no room: what is there stays, because a walk through a
  /// queue that does not fit would otherwise always drop what it comes to next.
  void remember(ino_t inode, std::string_view name, const FileState& message, const FileState& log,
                std::int64_t seen_ns, std::string_view text);

  [[nodiscard]] std::size_t size_bytes() const;
  [[nodiscard]] std::size_t messages() const;

 private:
  struct Entry {
    FileState message;
    FileState log;
    std::uint64_t used = 0;       // number of the newest listing that asked for it
    std::uint32_t name_size = 0;  // octets
    std::string name_and_text;
  };
  using Entries = std::unordered_map<ino_t, Entry>;
  [[nodiscard]] static std::size_t cost(std::size_t octets);
  Entries::iterator erase(Entries::iterator at);

  const std::size_t limit_bytes_;
  mutable std::mutex lock_;
  Entries entries_;
  std::size_t size_bytes_ = 0;
  std::uint64_t newest_ = 0;        // listing
  std::size_t used_by_newest_ = 0;  // entries
};

}  // namespace stagepost::delivery
