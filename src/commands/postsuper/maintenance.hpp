// Maintenance of the queue: delete, hold, release, requeue and expire messages, purge leftovers, repair names and
// places. Safe while the mail system runs: each step is one rename, unlink or chmod, and a message that is still being
// received (no owner-execute bit) is left alone.
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "queue/completion_log.hpp"
#include "queue/directory.hpp"

namespace stagepost::postsuper {

enum class Action { requeue, remove, expire, expire_and_release, hold, release };

/// Which messages an action is for: those named, in this order, then all.
struct Selection {
  std::vector<queue::QueueId> ids;
  bool all = false;
};

/// Does not match: nothing; short: names with a wrong inode and long names; long_too: long names need the right inode
/// as well (-S); long names are kept as such when they are enabled.
enum class NameCheck { none, inode, inode_of_long_names };

struct Counters {
  std::uint64_t renamed = 0;
  std::uint64_t requeued = 0;
  std::uint64_t removed = 0;
  std::uint64_t expired = 0;
  std::uint64_t held = 0;
  std::uint64_t released = 0;
};

struct Reporter {
  std::function<void(std::string_view)> info;
  std::function<void(std::string_view)> warning;
  std::function<void()> file_seen = [] {};  ///< for each file of a walk through a queue
};

class Maintenance {
 public:
  /// Files without owner-execute are leftovers when they are older than this.
  static constexpr std::int64_t kLeftoverSeconds = 7 * 24 * 3600;

  Maintenance(queue::QueueDirectory directory, queue::IdStyle style, Reporter reporter)
      : directory_(std::move(directory)),
        style_(style),
        reporter_(std::move(reporter)),
        completions_(directory_.root() + "/journal") {}

  /// Replays the journals of processes that are gone (docs/journal.md). Before repair(), which needs all messages to
  /// be there. Errors: the disk's.
  [[nodiscard]] Result<> recover_journal();

  /// Repairs the names and places of all files in `queues`, then removes hash directories that are not needed.
  /// With `purge_at` (the time now) it also does what purge() does, with one look at each file instead of two.
  [[nodiscard]] Result<> repair(const std::vector<queue::QueueName>& queues, NameCheck check,
                                std::optional<std::int64_t> purge_at = std::nullopt);
  /// Removes leftovers of crashes.
  [[nodiscard]] Result<> purge(const std::vector<queue::QueueName>& queues, std::int64_t now);
  /// Applies the action to the selected messages in those of `queues` where it makes sense.
  /// What it does is durable in the journal when it returns.
  [[nodiscard]] Result<> apply(Action action, const Selection& selection, const std::vector<queue::QueueName>& queues);

  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  void purge_nursery(std::int64_t now);
  void purge_leftover(const queue::QueueScan& scan, const queue::QueueScan::Seen& seen, std::int64_t now);
  struct Found {
    queue::QueueId id;
    queue::QueueName queue;
  };
  /// A message that shall go, and what became of it.
  struct Removal {
    Found found;
    Result<> message = {};
    Result<> logs = {};
  };
  [[nodiscard]] Result<> apply_to_all(Action action, const std::vector<queue::QueueName>& places);
  // removal.cpp
  void remove_selected();
  [[nodiscard]] Result<> remove_all(const std::vector<queue::QueueName>& places);
  [[nodiscard]] std::vector<Removal> complete_messages(queue::QueueName queue,
                                                       const std::vector<queue::QueueScan::Entry>& entries);
  void complete_in_journal(std::span<const Removal> removals);
  void remove(std::span<Removal> removals, bool journaled);
  /// True if it was removed.
  bool count(const Removal& removal);
  /// The ID, when the entry is a complete message that is (or now is) where its name belongs.
  [[nodiscard]] std::optional<queue::QueueId> message_to_change(queue::QueueName queue,
                                                                const queue::QueueScan::Entry& entry);
  [[nodiscard]] std::optional<Found> find(const queue::QueueId& id, const std::vector<queue::QueueName>& queues) const;
  [[nodiscard]] bool perform(Action action, const Found& found, bool by_id);
  [[nodiscard]] bool expire(const Found& found);
  using Look = std::function<void(const queue::QueueScan&, const queue::QueueScan::Seen&)>;
  /// Calls `look` for each file of the queue, from several threads where it has hash directories.
  [[nodiscard]] Result<> for_each_file(queue::QueueName queue, const Look& look);
  [[nodiscard]] Result<> walk(queue::QueueScan& scan, const Look& look);
  [[nodiscard]] bool is_in_order(queue::QueueName queue, const queue::QueueScan::Seen& seen, NameCheck check) const;
  void repair_file(queue::QueueName queue, const queue::QueueScan::Entry& entry, NameCheck check, bool first_pass);
  [[nodiscard]] queue::QueueId right_name(const queue::QueueId& id, ino_t inode, NameCheck check) const;
  bool rename_with_logs(queue::QueueName queue, const std::string& from, const queue::QueueId& old_id,
                        const queue::QueueId& new_id);
  /// True when the file is, or now is, where its name belongs; `hash_path` is where it was found.
  bool put_in_place(queue::QueueName queue, const queue::QueueId& id, const queue::QueueScan::Entry& entry);
  void remove_directories(queue::QueueName queue);
  /// The next entries of a walk, at most `most`. Empty at the end.
  [[nodiscard]] Result<std::vector<queue::QueueScan::Entry>> read_entries(queue::QueueScan& scan, std::size_t most);
  /// True if it worked; a file that has gone is no reason for a warning.
  bool moved(const Result<>& result, std::string_view what);
  void warn(std::string_view text);
  void files_seen(std::size_t count);
  [[nodiscard]] bool journal_in_use();
  void forget_in_journal(const std::string& path, const queue::QueueId& id, queue::journal::CompletionKind kind);

  queue::QueueDirectory directory_;
  queue::IdStyle style_;
  Reporter reporter_;
  Counters counters_;
  queue::journal::CompletionLog completions_;
  std::vector<Removal> selected_;  ///< named by ID, still there
  bool another_pass_ = false;      ///< a repair is not finished
  std::mutex reports_;             ///< reporter_
  std::mutex changes_;             ///< completions_, counters_, and the places of files that are not where they belong
  bool journal_in_use_ = true;
  timespec journal_time_{};  ///< of the directory, when journal_in_use_ was found out
};

/// Names that no version makes: too short to hold microseconds and an inode.
[[nodiscard]] bool is_message_name(std::string_view name);

}  // namespace stagepost::postsuper
