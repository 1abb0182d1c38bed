// When a new queue file counts as safely stored. This is the only place that decides it: writers hand over a finished
// file and get back a job that may block, for a thread pool.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::queue {

/// A finished file and what is left to do. Moves between threads; touches nothing but its own members.
class CommitJob {
 public:
  CommitJob(unique_fd fd, std::string path, mode_t complete_mode, bool sync_file, bool sync_directory);
  /// Sets the mode that says "complete", then syncs the file (and its directory). Blocks on the disk. After an error
  /// the message is not accepted: the caller discards the file. Owner-execute is taken off again first, as far as
  /// possible.
  [[nodiscard]] Result<> run();

 private:
  unique_fd fd_;
  std::string path_;
  mode_t complete_mode_;
  bool sync_file_;
  bool sync_directory_;
};

class CommitPolicy {
 public:
  /// One fsync per file, as Postfix does. The directory is synced too, unless its file system makes a new name durable
  /// with the file itself.
  [[nodiscard]] static CommitPolicy fsync_each();
  /// For tests and for files whose loss costs nothing.
  [[nodiscard]] static CommitPolicy none();

  /// `directory_fd_hint` is any descriptor in the same file system, used to recognise it.
  [[nodiscard]] CommitJob job(unique_fd fd, std::string path, mode_t complete_mode) const;

 private:
  enum class Kind { none, fsync_each };
  explicit CommitPolicy(Kind kind) : kind_(kind) {}
  Kind kind_;
};

}  // namespace stagepost::queue
