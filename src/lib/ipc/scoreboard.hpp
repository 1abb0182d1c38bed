// One page of shared memory between master and one child: live numbers that need no message. The child writes, master
// reads. Master sees whatever the child wrote, so it uses the numbers for display and planning hints only; what decides
// about limits travels over the status socket.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::ipc {

struct ScoreboardPage {
  static constexpr std::uint32_t kMagic = 0x53504231;  // "SPB1"
  static constexpr std::size_t kCounters = 64;

  std::atomic<std::uint32_t> magic;
  std::atomic<std::uint32_t> pid;
  std::atomic<std::uint32_t> sessions;      ///< running now
  std::atomic<std::uint32_t> quota;         ///< sessions it may run
  std::atomic<std::uint64_t> accepted;      ///< sessions since start
  std::atomic<std::uint64_t> completed;     ///< sessions that ended, well or badly
  std::atomic<std::uint64_t> started_unix;  ///< seconds
  std::atomic<std::uint32_t> stress;        ///< 0 or 1
  std::atomic<std::uint32_t> retiring;      ///< 0 or 1
  /// Meaning is the program's own.
  std::array<std::atomic<std::uint64_t>, kCounters> counters;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(ScoreboardPage) <= 4096);

/// A mapping of one page; unmapped at destruction.
class Scoreboard {
 public:
  /// Master: a new page in an anonymous file whose size is sealed, so that a child cannot shrink it under master's
  /// mapping.
  [[nodiscard]] static Result<Scoreboard> create();
  /// Child: maps the page master passed. Error: not a page of ours.
  [[nodiscard]] static Result<Scoreboard> attach(unique_fd fd);

  [[nodiscard]] ScoreboardPage& page() const { return *page_; }
  /// The anonymous file, to be passed to the child.
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Master needs the descriptor only until the child has started.
  void close_fd() { fd_.reset(); }

  Scoreboard(Scoreboard&& other) noexcept;
  Scoreboard& operator=(Scoreboard&& other) noexcept;
  ~Scoreboard();

 private:
  Scoreboard(unique_fd fd, ScoreboardPage* page) : fd_(std::move(fd)), page_(page) {}
  unique_fd fd_;
  ScoreboardPage* page_ = nullptr;
};

}  // namespace stagepost::ipc
