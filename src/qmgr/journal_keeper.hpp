// qmgr's part of the journal (docs/journal.md): replays the journals of dead processes, writes completions, and removes
// completion logs that nothing needs any more. With queue_journal = no it still does all of this while the directory
// holds segments, so that the parameter can be changed at any time.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>

#include "net/event.hpp"
#include "net/event_loop.hpp"
#include "queue/completion_log.hpp"
#include "queue/directory.hpp"
#include "queue/journal_recovery.hpp"
#include "queue/journal_segment.hpp"

namespace stagepost::qmgr {

class JournalKeeper {
 public:
  enum class Mode { on, off };
  JournalKeeper(net::EventLoop& loop, queue::QueueDirectory directory, Mode mode, queue::journal::BootId boot_id);

  /// Before any queue is read. After an error nothing may be read: mail might be taken for damaged.
  [[nodiscard]] net::Task<Result<>> recover();
  /// The message is done and its file is about to be removed. One write(2).
  void completed(const queue::Instance& instance);
  /// Syncs, renews and tends the logs until cancelled.
  [[nodiscard]] net::Task<> run();
  /// The mail system stops: waits, at most `limit`, for others to empty their segments, and leaves nothing behind if
  /// they did.
  [[nodiscard]] net::Task<> stop(std::chrono::seconds limit);

 private:
  using Uses = std::set<queue::journal::SegmentUse>;
  /// A log that nobody writes any more, and the segments that may need it.
  struct ClosedLog {
    std::optional<Uses> needed_by;  ///< none: not asked yet
    std::chrono::steady_clock::time_point closed = std::chrono::steady_clock::now();
  };

  [[nodiscard]] net::Task<> sync_log();
  [[nodiscard]] net::Task<> tend();
  void report(const queue::journal::RecoveryReport& report) const;

  net::EventLoop& loop_;
  queue::QueueDirectory directory_;
  std::string path_;
  Mode mode_;
  queue::journal::BootId boot_id_;
  bool in_use_ = true;  ///< the directory may hold segments although the mode is off
  queue::journal::CompletionLog log_;
  std::chrono::steady_clock::time_point log_begun_;
  std::map<std::string, ClosedLog> closed_logs_;
  net::Event written_;
};

}  // namespace stagepost::qmgr
