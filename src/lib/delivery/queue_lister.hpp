// Lists the messages of the queue directory for showq(8), and for postqueue(1) when the mail system is down: which
// messages there are, who still has to get them, and why they have not got them yet (from the defer logs).
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_set>

#include "base/result.hpp"
#include "clients/queue_listing.hpp"
#include "delivery/report_log.hpp"
#include "queue/directory.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::delivery {

class QueueLister {
 public:
  explicit QueueLister(queue::QueueDirectory directory) : directory_(std::move(directory)) {}

  /// Goes on with the listing: at most one message, at most some hundred recipients of it. False: that was the end.
  /// Messages come and go meanwhile; one that moves to another queue may be missed or seen twice. Files that are not
  /// complete, not readable or damaged are left out. An error: a queue cannot be read at all.
  [[nodiscard]] Result<bool> step(clients::ListingSink& sink);

 private:
  struct Current {
    queue::MessageReader reader;
    std::optional<ReportLogReader> log;
    std::unordered_set<std::int64_t> told;  // offsets of the recipients that were in the log
    std::optional<std::int64_t> next_offset = 0;
  };
  [[nodiscard]] Result<bool> next_message(clients::ListingSink& sink);
  [[nodiscard]] bool open(const queue::QueueScan::Entry& entry, clients::ListingSink& sink);
  [[nodiscard]] bool more_recipients(clients::ListingSink& sink);

  queue::QueueDirectory directory_;
  std::size_t queue_ = 0;
  std::optional<queue::QueueScan> scan_;
  std::optional<Current> current_;
};

}  // namespace stagepost::delivery
