// The queue directory: where a message of a queue is (hash_queue_names, hash_queue_depth), creating the directories,
// scanning them with bounded memory, moving and removing files. Knows no file contents.
#pragma once

#include <array>
#include <dirent.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "queue/queue_id.hpp"

namespace stagepost::queue {

enum class QueueName { maildrop, incoming, active, deferred, hold, corrupt, saved, bounce, defer, trace, flush };
inline constexpr std::array kAllQueues{QueueName::maildrop, QueueName::incoming, QueueName::active, QueueName::deferred,
                                       QueueName::hold,     QueueName::corrupt,  QueueName::saved,  QueueName::bounce,
                                       QueueName::defer,    QueueName::trace,    QueueName::flush};
[[nodiscard]] std::string_view to_string(QueueName name);
[[nodiscard]] std::optional<QueueName> queue_name(std::string_view text);
/// True for the queues whose files are messages (not logs).
[[nodiscard]] bool holds_messages(QueueName name);

/// hash_queue_names and hash_queue_depth.
struct Hashing {
  std::vector<std::string> names{"deferred", "defer"};
  unsigned depth = 1;
  [[nodiscard]] bool applies_to(QueueName name) const;
};
inline constexpr unsigned kMaxHashDepth = 16;

/// Owners of the directories (numeric, from mail_owner and setgid_group).
struct Owners {
  uid_t mail_owner = 0;
  gid_t mail_group = 0;
  gid_t setgid_group = 0;
};

class QueueDirectory {
 public:
  /// `root` is queue_directory, or "." for a process that has it as working or root directory.
  QueueDirectory(std::string root, Hashing hashing);

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] const Hashing& hashing() const { return hashing_; }
  [[nodiscard]] std::string path(QueueName queue) const;
  [[nodiscard]] std::string path(QueueName queue, const QueueId& id) const;
  /// Path of the hash directory of `id` below the queue: "", "A/" or "A/7/".
  [[nodiscard]] std::string hash_path(QueueName queue, const QueueId& id) const;

  /// Creates what is missing of the whole layout: queues, public, private, pid, journal, and the root itself. Modes and
  /// owners as Postfix sets them; owners are left alone unless the caller is root. Existing directories are not
  /// changed.
  [[nodiscard]] Result<> create_all(const Owners& owners) const;

  /// rename(2) between two queues; a missing hash directory is made (mode 0700) and the rename tried again.
  [[nodiscard]] Result<> move(const QueueId& id, QueueName from, QueueName to) const;
  [[nodiscard]] Result<> move(const QueueId& id, QueueName from, const QueueId& new_id, QueueName to) const;
  /// unlink(2); a file that is not there is an error (no_such_file_or_directory).
  [[nodiscard]] Result<> remove(QueueName queue, const QueueId& id) const;
  /// mkdir -p of the hash directories of `id`.
  [[nodiscard]] Result<> make_hash_path(QueueName queue, const QueueId& id) const;
  /// Removes the logs that an earlier message with the same short ID may have left in defer, bounce and trace.
  [[nodiscard]] Result<> remove_logs(const QueueId& id) const;
  /// fsync of the directory that holds `id`.
  [[nodiscard]] Result<> sync(QueueName queue, const QueueId& id) const;

 private:
  std::string root_;
  Hashing hashing_;
};

/// A walk through one queue, in the order of the file system. Memory is one open directory per level. Files may come
/// and go during the walk; one that is there all the time is seen exactly once unless it is renamed.
class QueueScan {
 public:
  struct Entry {
    std::string name;       ///< As found; may be no valid queue ID.
    std::string path;       ///< QueueDirectory::root() + "/" + ...
    std::string hash_path;  ///< Directories below the queue: "" or "A/7/".
    /// As the directory has it; on a stacked file system stat(2) may say something else.
    ino_t inode = 0;
  };
  /// The same where it lies; no memory of its own.
  struct Seen {
    const char* name = nullptr;  ///< Valid until the next step.
    std::string_view hash_path;  ///< As above, valid until the next step.
    ino_t inode = 0;
    int directory_fd = -1;  ///< Of the directory that `name` is in.
  };
  QueueScan(const QueueDirectory& directory, QueueName queue) : QueueScan(directory, queue, {}) {}
  /// A walk through the part of the queue that is below `hash_path` ("A/").
  QueueScan(const QueueDirectory& directory, QueueName queue, std::string hash_path);

  /// Directories are not entered from now on: hash paths for walks of their own go to `paths`, which outlives the scan.
  void leave_directories_to(std::vector<std::string>& paths) { left_ = &paths; }

  /// The next plain name, nullopt at the end. Subdirectories with names of one character are entered, to kMaxHashDepth;
  /// other directories are skipped.
  [[nodiscard]] Result<std::optional<Entry>> next();
  /// Likewise, for who seldom needs a path.
  [[nodiscard]] Result<std::optional<Seen>> next_seen();
  [[nodiscard]] Entry entry(const Seen& seen) const;

 private:
  struct CloseDirectory {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
  };
  struct Level {
    std::unique_ptr<DIR, CloseDirectory> directory;
    std::string hash_path;
  };
  [[nodiscard]] Result<> enter(const std::string& hash_path);

  std::string top_;
  std::string start_;  // hash path
  std::vector<Level> levels_;
  std::vector<std::string>* left_ = nullptr;
  bool started_ = false;
};

}  // namespace stagepost::queue
