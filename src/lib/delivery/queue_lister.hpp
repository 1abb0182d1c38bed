// Lists the messages of the queue directory for showq(8), and for postqueue(1) when the mail system is down: which
// messages there are, who still has to get them, and why they have not got them yet (from the defer logs). Several
// threads read files ahead; a message with many recipients is read as it is listed. What comes out is showq's protocol.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/result.hpp"
#include "clients/queue_listing.hpp"
#include "delivery/listing_memory.hpp"
#include "delivery/report_log.hpp"
#include "queue/directory.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::delivery {

class QueueLister {
 public:
  /// With `memory`, files that have not changed since it was told of them are not read. It outlives the lister.
  explicit QueueLister(queue::QueueDirectory directory, ListingMemory* memory = nullptr)
      : directory_(std::move(directory)), memory_(memory), listing_(memory != nullptr ? memory->begin() : 0) {}
  QueueLister(const QueueLister&) = delete;
  QueueLister& operator=(const QueueLister&) = delete;

  /// Goes on with the listing: some dozens of messages at most, or some hundred recipients of one. False: that was the
  /// end. Messages come and go meanwhile; one that moves to another queue may be missed or seen twice. Files that are
  /// not complete, not readable or damaged are left out. An error: a queue cannot be read at all.
  [[nodiscard]] Result<bool> step(clients::ShowqWriter& out);

 private:
  /// A message whose recipients are being listed.
  struct Current {
    clients::ListedMessage message;
    queue::MessageReader reader;
    std::optional<ReportLogReader> log;
    std::unordered_set<std::int64_t> told;  // offsets of the recipients that were in the log
    std::optional<std::int64_t> next_offset = 0;
    ListingMemory::FileState file_state;
    ListingMemory::FileState log_state;
    bool damaged = false;  // not all could be read
  };
  /// Some files of a batch, and what was read ahead.
  struct Part {
    std::string text;
    struct Large {
      std::size_t file;      // in the batch
      std::size_t position;  // in the text
    };
    std::vector<Large> large;  // messages that are read when it is their turn
    std::size_t next_large = 0;
    std::size_t told = 0;  // octets of the text
  };
  /// Files of one queue. While one batch is listed the next one is read.
  struct Batch {
    std::vector<queue::QueueScan::Entry> files;
    std::vector<Part> parts;
    std::size_t queue = 0;
    std::size_t listed = 0;              // parts
    std::atomic<std::size_t> taken = 0;  // parts, by those who read
    std::vector<std::jthread> readers;   // last: they end before what they use
  };
  /// Null: no queue has any more.
  [[nodiscard]] Result<std::unique_ptr<Batch>> next_batch();
  void start_reading(Batch& batch) const;
  void read(Batch& batch) const;
  void read(Part& part, const Batch& batch, std::size_t file) const;
  /// The text, if it is known and both files are as they were.
  [[nodiscard]] std::optional<std::string> remembered(const queue::QueueScan::Entry& entry, const queue::QueueId& id,
                                                      std::size_t queue) const;
  [[nodiscard]] std::optional<Current> open(const queue::QueueScan::Entry& entry, const queue::QueueId& id,
                                            std::size_t queue) const;
  /// At most about `most` recipients. False: that was the last one.
  [[nodiscard]] static bool more_recipients(Current& current, std::size_t most, clients::ListingSink& sink);

  queue::QueueDirectory directory_;
  ListingMemory* memory_;
  std::uint64_t listing_;
  std::size_t queue_ = 0;
  std::optional<queue::QueueScan> scan_;
  std::unique_ptr<Batch> batch_;   // being listed
  std::unique_ptr<Batch> coming_;  // being read
  std::optional<Current> current_;
};

}  // namespace stagepost::delivery
