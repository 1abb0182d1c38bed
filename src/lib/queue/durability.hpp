// When a new queue file counts as safely stored. This is the only place that decides it: writers hand over a finished
// file and get back a job that may block, for a thread pool.
#pragma once

#include <string>
#include <sys/types.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::queue {

/// True for file systems whose fsync of a new file also stores its name. tmpfs, which stores nothing, counts as one.
[[nodiscard]] bool file_sync_covers_name(int fd);

/// A finished file and what is left to do. Moves between threads; touches nothing but its own members.
class CommitJob {
 public:
  enum class Sync { none, file_and_directory };
  CommitJob(unique_fd fd, std::string path, mode_t incomplete_mode, mode_t complete_mode, Sync sync);
  /// Sets the mode that says "complete", then syncs the file and, unless its file system makes a new name durable
  /// together with the file, its directory. Blocks on the disk. After an error the message is not accepted and the file
  /// is marked as incomplete again, as far as the disk allows; the caller removes it (MessageWriter::discard).
  [[nodiscard]] Result<> run();

 private:
  unique_fd fd_;
  std::string path_;
  mode_t incomplete_mode_;
  mode_t complete_mode_;
  Sync sync_;
};

class CommitPolicy {
 public:
  /// One fsync per file before success is reported.
  [[nodiscard]] static CommitPolicy fsync_each() { return CommitPolicy(CommitJob::Sync::file_and_directory); }
  /// Leaves writing back to the kernel: for tests, and for files whose loss in a power cut costs nothing.
  [[nodiscard]] static CommitPolicy none() { return CommitPolicy(CommitJob::Sync::none); }

  [[nodiscard]] CommitJob job(unique_fd fd, std::string path, mode_t incomplete_mode, mode_t complete_mode) const {
    return {std::move(fd), std::move(path), incomplete_mode, complete_mode, sync_};
  }

 private:
  explicit CommitPolicy(CommitJob::Sync sync) : sync_(sync) {}
  CommitJob::Sync sync_;
};

}  // namespace stagepost::queue
