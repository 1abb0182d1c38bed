// Lists the messages of the queue directory for showq(8), and for postqueue(1) when the mail system is down: which
// messages there are, who still has to get them, and why they have not got them yet (from the defer logs). Several
// threads read files ahead; a message with many recipients is read as it is listed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/result.hpp"
#include "clients/queue_listing.hpp"
#include "delivery/report_log.hpp"
#include "queue/directory.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::delivery {

class QueueLister {
 public:
  explicit QueueLister(queue::QueueDirectory directory) : directory_(std::move(directory)) {}
  QueueLister(const QueueLister&) = delete;
  QueueLister& operator=(const QueueLister&) = delete;

  /// Goes on with the listing: at most one message, at most some hundred recipients of it. False: that was the end.
  /// Messages come and go meanwhile; one that moves to another queue may be missed or seen twice. Files that are not
  /// complete, not readable or damaged are left out. An error: a queue cannot be read at all.
  [[nodiscard]] Result<bool> step(clients::ListingSink& sink);

 private:
  /// A message whose recipients are being listed.
  struct Current {
    clients::ListedMessage message;
    queue::MessageReader reader;
    std::optional<ReportLogReader> log;
    std::unordered_set<std::int64_t> told;  // offsets of the recipients that were in the log
    std::optional<std::int64_t> next_offset = 0;
  };
  /// A file that was read ahead.
  struct Ahead {
    queue::QueueScan::Entry entry;
    enum class Kind : std::uint8_t { no_message, small, large } kind = Kind::no_message;
    clients::ListedMessage message;  // of a small one, all of it
    std::vector<clients::ListedRecipient> recipients;
  };
  /// Files of one queue. While one batch is listed the next one is read.
  struct Batch {
    std::vector<Ahead> files;
    std::size_t queue = 0;
    std::size_t listed = 0;
    std::atomic<std::size_t> taken = 0;  // by those who read
    std::vector<std::jthread> readers;   // last: they end before what they use
  };
  /// Null: no queue has any more.
  [[nodiscard]] Result<std::unique_ptr<Batch>> next_batch();
  void start_reading(Batch& batch) const;
  void read(Batch& batch) const;
  void read(Ahead& file, std::size_t queue) const;
  [[nodiscard]] std::optional<Current> open(const queue::QueueScan::Entry& entry, std::size_t queue) const;
  /// At most about `most` recipients. False: that was the last one.
  [[nodiscard]] static bool more_recipients(Current& current, std::size_t most, clients::ListingSink& sink);

  queue::QueueDirectory directory_;
  std::size_t queue_ = 0;
  std::optional<queue::QueueScan> scan_;
  std::unique_ptr<Batch> batch_;   // being listed
  std::unique_ptr<Batch> coming_;  // being read
  std::optional<Current> current_;
};

}  // namespace stagepost::delivery
