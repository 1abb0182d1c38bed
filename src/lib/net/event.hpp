// A condition that coroutines of one event loop wait for, and time.
#pragma once

#include <coroutine>
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

/// `co_await yield_now()` lets other tasks of the loop run.
class Yield {
 public:
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class P>
  static void await_suspend(std::coroutine_handle<P> caller) {
    resume_later(*caller.promise().control->loop, caller);
  }
  static void await_resume() noexcept {}

 private:
  static void resume_later(EventLoop& loop, std::coroutine_handle<> caller);
};
[[nodiscard]] inline Yield yield_now() { return {}; }

}  // namespace stagepost::net
