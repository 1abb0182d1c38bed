// What a process still has to say when a signal ends it: octets that wait in memory to be written are written by the
// signal's handler. Nothing helps against SIGKILL.
#pragma once

#include <atomic>
#include <cstddef>

namespace stagepost::log {

/// Catches what ends a process by default (a crash, abort(), the watchdog's SIGALRM, SIGQUIT), unless somebody does
/// already (a sanitizer): the handler writes all LastWords, and the signal then takes its course. Call at any time,
/// also repeatedly.
void catch_deadly_signals() noexcept;

/// Octets to be written in that case. At most kPlaces exist in a process; further ones are not written.
class LastWords {
 public:
  static constexpr std::size_t kPlaces = 4;
  LastWords() noexcept;
  ~LastWords();
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;

  /// `data` stays where it is until the next set(); no octet below `size` changes meanwhile. 0: nothing to write.
  void set(int fd, const char* data, std::size_t size) noexcept;

 private:
  friend void write_last_words() noexcept;
  std::atomic<int> fd_{-1};
  std::atomic<const char*> data_{nullptr};
  std::atomic<std::size_t> size_{0};
};

/// What the handler does; each is written once. Safe in a signal handler.
void write_last_words() noexcept;

}  // namespace stagepost::log
