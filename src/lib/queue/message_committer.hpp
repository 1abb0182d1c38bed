// How cleanup makes a finished message durable: by the journal when there is one and it has room, else by a sync of the
// message's own file (durability.hpp).
#pragma once

#include <functional>
#include <memory>

#include "net/event_loop.hpp"
#include "net/task.hpp"
#include "queue/journal.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::queue {

class MessageCommitter {
 public:
  /// Each message by its own file (queue_journal = no).
  explicit MessageCommitter(net::EventLoop& loop) : loop_(&loop) {}
  /// With a journal in `directory`. `options.post` and `options.warn` are set here.
  MessageCommitter(net::EventLoop& loop, QueueDirectory directory, journal::Journal::Options options);

  /// A message is coming: the journal is opened, so that its first segment may be there in time. Optional, idempotent.
  void prepare();
  /// When this succeeds the message is accepted: durable, complete, the queue's. After an error the caller removes the
  /// file (MessageWriter::discard); it will not be recovered. Cannot be cancelled. `arrival` is what the file's record
  /// T says.
  [[nodiscard]] net::Task<Result<>> commit(MessageWriter& writer, ArrivalTime arrival, journal::Place place);

 private:
  [[nodiscard]] net::Task<Result<>> sync_file(MessageWriter& writer);

  net::EventLoop* loop_;
  std::function<std::unique_ptr<journal::Journal>()> open_;  ///< not called yet
  std::unique_ptr<journal::Journal> journal_;
};

}  // namespace stagepost::queue
