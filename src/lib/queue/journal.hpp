// The journal of one process: messages that wait for stable storage share one fdatasync, and segments are emptied in
// the background once their messages are gone or stored by their own files. docs/journal.md has the rules; this class
// keeps invariants 1, 3, 4 and 6 of it.
//
// Two threads: one syncs, one makes and empties segments. append() is for one thread (the loop's) and never waits for
// either.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "queue/completion_log.hpp"
#include "queue/directory.hpp"
#include "queue/journal_segment.hpp"

namespace stagepost::queue::journal {

class Journal {
 public:
  struct Options {
    BootId boot_id{};
    /// Sizes of the first segments; the last one repeats.
    std::vector<std::uint64_t> segment_octets{1U << 20U, 4U << 20U, 16U << 20U};
    std::size_t segments_limit = 8;
    /// A segment whose first record is older than this is emptied even if it has room.
    std::chrono::milliseconds age_limit{30'000};
    /// How often completions are read while a segment holds records.
    std::chrono::milliseconds interval{1000};
    /// After a segment could not be made.
    std::chrono::milliseconds retry{60'000};
    /// Files of a segment synced one by one; more of them by one syncfs.
    std::size_t files_limit = 64;
    /// For tests that let a sync fail.
    std::function<int(int)> data_sync;
    std::function<int(int)> file_sync;
    std::function<int(int)> all_sync;  ///< syncfs
    /// Called by the threads.
    std::function<void(const std::string&)> warn;
    /// Runs a job on the thread that called append().
    std::function<void(std::function<void()>)> post;
  };
  struct Figures {
    std::uint64_t appended = 0;
    std::uint64_t syncs = 0;         ///< fdatasync calls that completed a group
    std::uint64_t emptied = 0;       ///< segments
    std::uint64_t files_synced = 0;  ///< one by one, in the background
    std::uint64_t all_synced = 0;    ///< syncfs calls
    std::size_t records = 0;         ///< not completed and not synced, in all segments
    std::size_t segments = 0;
  };
  using Done = std::function<void(Result<>)>;

  /// The first segment is made in the background: until it is there nothing can be appended.
  Journal(QueueDirectory directory, Options options);
  /// close()
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// False: there is no room (or the message is too large, or the journal failed): make the file durable by itself.
  /// True: `done` will be called, through Options::post, when a sync that began after this call has ended. When it
  /// gets an error the message may or may not be in the journal: make its file durable, or withdraw() it.
  /// `content` and `more_content` together are the queue file's bytes; they are not kept.
  [[nodiscard]] bool append(const Instance& instance, Place place, std::string_view content,
                            std::string_view more_content, Done done);
  /// A message that was appended was not accepted after all: it must not be recovered. Blocks. Call before the file is
  /// removed.
  [[nodiscard]] Result<> withdraw(const Instance& instance);

  /// Waits for syncs that run, stores everything, removes the segments. What fails is left to recovery. Idempotent.
  void close();

  [[nodiscard]] Figures figures() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Segment {
    explicit Segment(SegmentFile made) : file(std::move(made)) {}
    SegmentFile file;
    Clock::time_point first_record;
    std::vector<Done> waiting;  ///< for the next sync
    bool syncing = false;
    bool failed = false;     ///< a sync or write failed: not trusted any more
    bool abandoned = false;  ///< could not be emptied: left to recovery
    /// Messages that are not known to be completed, by key.
    std::unordered_map<std::string, Instance> open;
  };
  using SegmentPtr = std::shared_ptr<Segment>;
  enum class Why { completed, age, room, closing };

  void sync_loop();
  void keep_loop();
  [[nodiscard]] bool pick_segment(std::size_t id_octets, std::size_t content_octets);
  void make_segment(std::unique_lock<std::mutex>& lock);
  void read_completions(std::unique_lock<std::mutex>& lock);
  void seal_current();
  [[nodiscard]] bool wants_segment() const;
  [[nodiscard]] bool in_use() const;
  void empty_segments(std::unique_lock<std::mutex>& lock, bool closing);
  void empty(std::unique_lock<std::mutex>& lock, const SegmentPtr& segment, bool remove);
  [[nodiscard]] Result<> store(const std::vector<Instance>& instances);
  [[nodiscard]] bool store_one(const Instance& instance, Result<>& status);
  void warn(const std::string& text) const;

  QueueDirectory directory_;
  std::string path_;
  Options options_;
  unique_fd queue_fd_;  ///< for syncfs

  mutable std::mutex mutex_;
  std::condition_variable sync_wanted_;
  std::condition_variable keep_wanted_;
  std::condition_variable sync_ended_;
  SegmentPtr current_;
  std::deque<SegmentPtr> free_;
  std::deque<SegmentPtr> sealed_;  ///< oldest first
  std::deque<SegmentPtr> dirty_;   ///< with someone waiting
  std::unordered_map<std::string, std::weak_ptr<Segment>> open_;
  std::size_t made_ = 0;  ///< segments made so far
  bool disabled_ = false;
  bool warned_ = false;  ///< that no segment could be made
  bool closing_ = false;
  bool closed_ = false;
  Clock::time_point retry_at_;
  Figures figures_;

  CompletionReader completions_;  ///< the keeping thread's
  CompletionLog withdrawn_;       ///< the appending thread's

  std::thread sync_thread_;
  std::thread keep_thread_;
};

}  // namespace stagepost::queue::journal
