// A condition that coroutines of one event loop wait for.
#pragma once

#include <memory>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "net/event_loop.hpp"
#include "net/task.hpp"

namespace stagepost::net {

/// Waiters resume when notify_all() is called after they began to wait. Check the state you wait for before and after:
///   while (!ready) { auto woken = co_await event.wait(deadline); if (!woken) co_return woken; }
class Event {
 public:
  explicit Event(EventLoop& loop);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// timed_out at the deadline, operation_canceled when the task is cancelled. The Event must outlive the wait.
  [[nodiscard]] Task<Result<>> wait(Deadline deadline);
  void notify_all();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Sleeps until the deadline; operation_canceled when the task is cancelled first.
[[nodiscard]] Task<Result<>> sleep_until(Deadline deadline);
/// True once the current task was told to end (TaskGroup::cancel).
[[nodiscard]] Task<bool> cancelled();
/// Lets other tasks of the loop run.
[[nodiscard]] Task<> yield_now();

}  // namespace stagepost::net
