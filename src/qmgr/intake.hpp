// Where the next message for the active queue comes from: names that cleanup announced, the scan of incoming and the
// scan of deferred. New mail and retries take turns, so that a backlog of either cannot hold up the other. Looks at a
// few directory entries per call; memory is two open directories and a bounded list of names.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>

#include "queue/directory.hpp"
#include "queue/queue_id.hpp"

namespace stagepost::qmgr {

struct Candidate {
  queue::QueueId id;
  queue::QueueName from = queue::QueueName::incoming;
  /// Found by a scan: somebody may still be at work on it.
  bool scanned = false;
  /// From a scan that ignores the times of deferred messages.
  bool flushed = false;
};

class Intake {
 public:
  /// Announced names kept; beyond that the next scan of incoming finds the messages.
  static constexpr std::size_t kAnnouncedLimit = 20'000;
  /// Directory entries looked at in one call of next().
  static constexpr std::size_t kEntriesPerTurn = 64;

  explicit Intake(const queue::QueueDirectory& directory) : directory_(&directory) {}

  void announce(queue::QueueId id);
  /// A scan that is asked for while it runs starts again when it is through.
  void scan_incoming();
  enum class Times { respect, ignore };
  void scan_deferred(Times times);

  /// True while next() may find something.
  [[nodiscard]] bool has_work() const {
    return !announced_.empty() || incoming_.wanted || incoming_.scan || deferred_.wanted || deferred_.scan;
  }
  /// The next message, or nothing yet: call again while has_work(). `now` decides which deferred messages are due.
  [[nodiscard]] std::optional<Candidate> next(std::chrono::system_clock::time_point now);

 private:
  struct Walk {
    queue::QueueName queue;
    std::optional<queue::QueueScan> scan = {};
    bool wanted = false;
    bool ignore_times = false;       ///< of the scan that runs
    bool ignore_times_next = false;  ///< of the one that is wanted
  };
  [[nodiscard]] std::optional<Candidate> step(Walk& walk, std::chrono::system_clock::time_point now);
  [[nodiscard]] std::optional<Candidate> next_new(std::chrono::system_clock::time_point now);

  const queue::QueueDirectory* directory_;
  std::deque<queue::QueueId> announced_;
  Walk incoming_{queue::QueueName::incoming};
  Walk deferred_{queue::QueueName::deferred};
  bool deferred_turn_ = false;
};

}  // namespace stagepost::qmgr
