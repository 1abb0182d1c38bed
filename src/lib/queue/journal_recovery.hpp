// Replays the journals of processes that are gone, and removes what is left of the journal when nothing needs it any
// more (docs/journal.md, "Recovery"). Blocks; for a thread pool, or for a command.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "queue/directory.hpp"
#include "queue/journal_format.hpp"

namespace stagepost::queue::journal {

struct RecoveryOptions {
  BootId boot_id{};
  /// The mail system is at work: messages move and go meanwhile, so one that is missing was removed by somebody, and
  /// one that differs is being written.
  bool running = false;
  /// How long to wait for another process that recovers.
  std::chrono::seconds patience{60};
};

struct RecoveryReport {
  std::uint64_t segments = 0;   ///< replayed
  std::uint64_t messages = 0;   ///< in them, without those that were completed
  std::uint64_t restored = 0;   ///< written anew
  std::uint64_t repaired = 0;   ///< written again over a damaged or incomplete file
  std::uint64_t discarded = 0;  ///< never acknowledged
  std::uint64_t removed = 0;    ///< files of completed messages whose removal was lost
  bool live = false;            ///< a process that lives has a segment or a completion log
  bool busy = false;            ///< another process recovers; nothing was done
  std::vector<std::string> warnings;

  [[nodiscard]] bool did_something() const { return segments > 0 || removed > 0; }
  /// One line for the log.
  [[nodiscard]] std::string summary() const;
};

/// An error is the disk's: what was not replayed is still there. A directory that does not exist holds nothing.
[[nodiscard]] Result<RecoveryReport> recover(const QueueDirectory& directory, const RecoveryOptions& options);

/// True if nothing is in the journal that a start would have to look at. `directory` is the journal's.
[[nodiscard]] bool is_empty(const std::string& directory);

/// How a file differs from the bytes that were committed.
enum class Comparison {
  equal,    ///< but for recipients that are done, and the time of the delay warning
  damaged,  ///< shorter, longer or other bytes
};
/// Recipients that are done in `file` (any length) are marked in `committed`, which then is what the file should be.
[[nodiscard]] Comparison merge_marks(std::string& committed, std::string_view file);

}  // namespace stagepost::queue::journal
