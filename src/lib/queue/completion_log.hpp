// Completions: which messages of the journal need no recovery any more. Each process that removes queue files writes
// its own log; those who keep segments read all of them (docs/journal.md).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "queue/journal_format.hpp"

namespace stagepost::queue::journal {

class CompletionLog {
 public:
  /// `directory`: the journal's. The file is made by the first append.
  explicit CompletionLog(std::string directory) : directory_(std::move(directory)) {}

  /// One write(2), before the files are removed. Survives the death of the process at once, and a power cut after
  /// sync().
  [[nodiscard]] Result<> append(std::span<const Completion> completions);
  [[nodiscard]] Result<> append(const Completion& completion) { return append(std::span(&completion, 1)); }

  /// Something was appended since the last sync began.
  [[nodiscard]] bool unsynced() const { return unsynced_; }
  /// What was appended so far is to be synced: a job that blocks, for any thread. After a failure call
  /// sync_failed(), so that it is tried again.
  [[nodiscard]] std::function<Result<>()> sync_job();
  void sync_failed() { unsynced_ = true; }
  [[nodiscard]] Result<> sync() { return sync_job()(); }

  [[nodiscard]] std::uint64_t octets() const { return octets_; }
  /// Name of the file in the directory; empty if nothing was appended.
  [[nodiscard]] const std::string& name() const { return name_; }
  /// The file is left to whoever keeps the journal; the next append makes a new one.
  void close();
  /// Removes the file.
  void discard();

 private:
  std::string directory_;
  std::shared_ptr<unique_fd> fd_;
  std::string name_;
  std::uint64_t octets_ = 0;
  bool unsynced_ = false;
};

/// Reads all completion logs of a directory as they grow.
class CompletionReader {
 public:
  explicit CompletionReader(std::string directory) : directory_(std::move(directory)) {}

  /// Calls `use` for each completion that was not seen before. Slots that are not valid are skipped.
  [[nodiscard]] Result<> poll(const std::function<void(const Completion&)>& use);
  /// All that poll() has returned is on stable storage afterwards. Blocks.
  [[nodiscard]] Result<> sync();

 private:
  struct Log {
    unique_fd fd;
    std::uint64_t offset = 0;
    std::uint64_t synced = 0;
    bool seen = false;  // in this poll
  };
  [[nodiscard]] Result<> read(Log& log, const std::function<void(const Completion&)>& use) const;

  std::string directory_;
  std::map<std::string, Log> logs_;
};

}  // namespace stagepost::queue::journal
