// Readiness of descriptors that a foreign library owns (c-ares), and a plain timer, both as callbacks on the loop. Code
// of our own awaits instead (net/stream.hpp, net/event.hpp).
#pragma once

#include <functional>
#include <memory>

#include "base/deadline.hpp"
#include "net/event_loop.hpp"

namespace stagepost::net {

/// Watches `fd`, which stays the library's: destroy the watch before the library closes it.
class FdWatch {
 public:
  /// `on_ready(readable, writable)` may destroy the watch.
  FdWatch(EventLoop& loop, int fd, std::function<void(bool readable, bool writable)> on_ready);
  ~FdWatch();
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  /// What to report from now on, until changed.
  void want(bool read, bool write);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// Calls back once at the deadline unless set again or cleared. Destroying it clears it.
class Timer {
 public:
  Timer(EventLoop& loop, std::function<void()> on_time);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void set(Deadline deadline);
  void clear();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace stagepost::net
