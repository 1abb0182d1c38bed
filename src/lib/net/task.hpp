// The coroutine type of the project. Asio is the event loop below it and stays behind src/lib/net/*.cpp; its own
// awaitable cost a sixth of all user time (docs/performance.md).
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>

#include "net/frame_memory.hpp"

namespace stagepost::net {

class EventLoop;

/// What a task waits in, at its innermost await.
class Suspension {
 public:
  /// Ends the wait soon, in a later turn of the loop, since the task shall end.
  virtual void give_up() = 0;

 protected:
  ~Suspension() = default;
};

/// One for each spawned task, shared by all it awaits.
struct TaskControl {
  EventLoop* loop;
  bool cancelled = false;
  Suspension* waits_in = nullptr;

  void cancel() {
    cancelled = true;
    if (waits_in != nullptr) { waits_in->give_up(); }
  }
};

/// What every coroutine of ours has: its task, and who goes on after it.
class Promise {
 public:
  TaskControl* control = nullptr;
  std::coroutine_handle<> awaited_by;

  static void* operator new(std::size_t size_bytes) { return allocate_frame(size_bytes); }
  static void operator delete(void* frame, std::size_t size_bytes) { free_frame(frame, size_bytes); }

  [[nodiscard]] static std::suspend_always initial_suspend() noexcept { return {}; }
  /// Goes on with the awaiting coroutine without growing the stack.
  struct HandBack {
    [[nodiscard]] static bool await_ready() noexcept { return false; }
    template <class P>
    [[nodiscard]] static std::coroutine_handle<> await_suspend(std::coroutine_handle<P> finished) noexcept {
      return finished.promise().awaited_by;
    }
    static void await_resume() noexcept {}
  };
  [[nodiscard]] static HandBack final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { thrown_ = std::current_exception(); }

 protected:
  void rethrow() const {
    if (thrown_) { std::rethrow_exception(thrown_); }
  }

 private:
  std::exception_ptr thrown_;
};

template <class T>
class ValuePromise : public Promise {
 public:
  template <class U = T>
    requires std::constructible_from<T, U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  [[nodiscard]] T take() {
    rethrow();
    return *std::move(value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class ValuePromise<void> : public Promise {
 public:
  static void return_void() noexcept {}
  void take() const { rethrow(); }
};

/// A coroutine that is awaited by its caller or spawned into a TaskGroup; it does nothing until then. An exception that
/// leaves it comes out of the await.
template <class T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : ValuePromise<T> {
    [[nodiscard]] Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
  };

  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (frame_) { frame_.destroy(); }
  }

  class Await {
   public:
    explicit Await(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
    [[nodiscard]] static bool await_ready() noexcept { return false; }
    template <class P>
    [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<P> caller) noexcept {
      frame_.promise().control = caller.promise().control;
      frame_.promise().awaited_by = caller;
      return frame_;
    }
    T await_resume() { return frame_.promise().take(); }

   private:
    std::coroutine_handle<promise_type> frame_;
  };
  [[nodiscard]] Await operator co_await() && noexcept { return Await(frame_); }

 private:
  explicit Task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

/// The outermost coroutine of a task, below what TaskGroup::spawn and EventLoop::run_task were given. It catches all
/// exceptions itself and its frame goes away at its end.
struct RootTask {
  struct promise_type : Promise {
    [[nodiscard]] RootTask get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    [[nodiscard]] static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() noexcept {}
    static void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> frame;
};

/// `co_await cancelled()`: true once the current task was told to end (TaskGroup::cancel). Never suspends.
class CancelledQuery {
 public:
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class P>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<P> caller) noexcept {
    cancelled_ = caller.promise().control->cancelled;
    return false;
  }
  [[nodiscard]] bool await_resume() const noexcept { return cancelled_; }

 private:
  bool cancelled_ = false;
};
[[nodiscard]] inline CancelledQuery cancelled() { return {}; }

/// `co_await hand_over(start)` suspends the coroutine and calls `start` with what resumes it: to be called once, on the
/// loop's thread, after start has returned. It cannot be cancelled.
template <std::invocable<std::coroutine_handle<>> F>
class HandOver {
 public:
  explicit HandOver(F start) : start_(std::move(start)) {}
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) { std::move(start_)(caller); }
  static void await_resume() noexcept {}

 private:
  F start_;
};
template <std::invocable<std::coroutine_handle<>> F>
[[nodiscard]] HandOver<F> hand_over(F start) {
  return HandOver<F>(std::move(start));
}

}  // namespace stagepost::net
