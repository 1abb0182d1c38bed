// Puts the lines of all processes into the order in which they were logged. Each process sends its lines some
// milliseconds after it logged them, so lines are held until those of the others must have come. No I/O, no clock.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "log/batch.hpp"

namespace stagepost::postlogd {

class LineMerger {
 public:
  struct Limits {
    /// Age from which nothing older is expected. More than log::kCollectTime: a process also waits for the CPU and
    /// the disk. Twice what lines took lately, within these bounds. A line that comes later still is
    /// written later; it is not lost.
    std::chrono::milliseconds settled_least{30};
    std::chrono::milliseconds settled_most{200};
    /// How much longer the oldest line may wait, so that many are written together: this, or a quarter of the former.
    std::chrono::milliseconds gather{10};
    /// Memory for lines, with what we note about each. Nothing more is held when it is exceeded.
    std::size_t octets = 4U << 20;
    /// The oldest time that is believed, before the arrival. (The newest is the arrival.)
    std::chrono::milliseconds oldest{1000};
  };

  LineMerger() : LineMerger(Limits{}) {}
  explicit LineMerger(const Limits& limits);

  /// Takes the lines of a datagram that came at `arrival`. In what is written line breaks and other control
  /// characters are '?', and a line has at most 60,000 octets. The order of the lines of one sender is kept whatever
  /// times it names; a line without a time has that of its arrival.
  void add(std::string_view datagram, log::LineTime arrival);

  [[nodiscard]] bool empty() const { return lines_.empty(); }
  /// Take everything now.
  [[nodiscard]] bool full() const { return text_.size() + lines_.size() * sizeof(Line) > limits_.octets; }
  /// All that is held, as it would be written, in the order of arrival or of an earlier take_*().
  [[nodiscard]] const std::string& held() const { return text_; }
  /// When take_settled() should be called; nullopt when nothing is held.
  [[nodiscard]] std::optional<log::LineTime> due() const;

  /// Appends to `out`, oldest first and each with its LF, the lines that are old enough at `now`.
  void take_settled(log::LineTime now, std::string& out);
  void take_all(std::string& out);

 private:
  struct Line {
    log::LineTime time;
    std::uint32_t offset;  ///< in text_
    std::uint32_t length;
  };

  [[nodiscard]] log::LineTime settled_age() const;
  void fade(log::LineTime now);
  void append(log::LineTime time, std::string_view text);
  void take(log::LineTime until, std::string& out);

  Limits limits_;
  std::string text_;
  std::vector<Line> lines_;
  log::LineTime oldest_ = 0;    ///< of all lines, if there are any
  log::LineTime lateness_ = 0;  ///< greatest age of a line on arrival; fades within seconds
  log::LineTime faded_at_ = 0;
};

}  // namespace stagepost::postlogd
