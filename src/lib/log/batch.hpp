// What goes to postlogd's socket: lines with the time at which they were logged, several to a datagram, so that
// postlogd can put the lines of all processes into the order in which they were logged. The format is private to
// the programs of one installation.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost::log {

/// How long a process may keep a line that is not a warning.
inline constexpr std::chrono::milliseconds kCollectTime{10};
/// A batch of this size is sent at once; well below what one datagram may hold.
inline constexpr std::size_t kBatchBytes = 8192;

/// Nanoseconds of CLOCK_MONOTONIC: the same for all processes of a machine, and no step of the time of day disturbs
/// the order. (The time that is shown is part of the line.)
using LineTime = std::int64_t;
[[nodiscard]] LineTime line_time() noexcept;

/// Octets that append_to_batch() adds for a line of `length` octets (to an empty batch: one more).
[[nodiscard]] constexpr std::size_t batch_octets(std::size_t length) noexcept { return sizeof(LineTime) + length + 1; }
/// An LF inside the line becomes '?'.
void append_to_batch(std::string& batch, LineTime time, std::string_view line);

/// The lines of one datagram, which may be anything. One that is no batch is one line without a time; times are what
/// the sender says.
class BatchReader {
 public:
  struct Line {
    std::optional<LineTime> time;
    std::string_view text;  ///< part of the datagram, without its LF
  };

  explicit BatchReader(std::string_view datagram);
  /// nullopt at the end; a time that is cut off ends the batch.
  [[nodiscard]] std::optional<Line> next();

 private:
  std::string_view rest_;
  bool batch_;
  bool single_;
};

}  // namespace stagepost::log
