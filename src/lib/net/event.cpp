#include "net/event.hpp"

#include <list>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/defer.hpp"

namespace stagepost::net {
namespace {

/// A coroutine that waits for a time, or for somebody to wake it, or for both.
class Sleep final : public Suspension {
 public:
  enum class End : unsigned char { none, woken, timed_out, cancelled };

  Sleep(EventLoop& loop, Deadline deadline) : loop_(loop), deadline_(deadline) {}
  ~Sleep() {
    if (!state_ || !state_->waiting) { return; }
    state_->waiting = nullptr;
    control_->waits_in = nullptr;
  }
  Sleep(const Sleep&) = delete;
  Sleep& operator=(const Sleep&) = delete;

  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> caller) {
    control_ = caller.promise().control;
    if (control_->cancelled) {
      end_ = End::cancelled;
      return false;
    }
    state_ = std::make_shared<State>();
    state_->waiting = caller;
    control_->waits_in = this;
    start_timer();
    return true;
  }
  End await_resume() {
    control_->waits_in = nullptr;
    return state_ ? state_->end : end_;
  }

  void wake() { finish(End::woken); }
  void give_up() override { finish(End::cancelled); }

 private:
  /// Outlives the coroutine as long as a handler is queued.
  struct State {
    std::coroutine_handle<> waiting;
    std::optional<boost::asio::steady_timer> timer;
    End end = End::none;

    void resume() {
      if (const auto coroutine = std::exchange(waiting, nullptr)) { coroutine.resume(); }
    }
  };

  void start_timer() {
    if (deadline_.is_never()) { return; }
    state_->timer.emplace(loop_.context(), deadline_.at());
    state_->timer->async_wait([state = state_](const boost::system::error_code& error) {
      if (error || state->end != End::none) { return; }
      state->end = End::timed_out;
      state->resume();
    });
  }

  void finish(End end) {
    if (state_->end != End::none) { return; }
    state_->end = end;
    if (state_->timer) { state_->timer->cancel(); }
    boost::asio::post(loop_.context(), [state = state_] { state->resume(); });
  }

  EventLoop& loop_;
  Deadline deadline_;
  TaskControl* control_ = nullptr;
  std::shared_ptr<State> state_;
  End end_ = End::none;
};

/// `co_await current_loop()`: the loop of the task.
class CurrentLoop {
 public:
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  template <class P>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<P> caller) noexcept {
    loop_ = caller.promise().control->loop;
    return false;
  }
  [[nodiscard]] EventLoop* await_resume() const noexcept { return loop_; }

 private:
  EventLoop* loop_ = nullptr;
};

}  // namespace

struct Event::Impl {
  EventLoop& loop;
  std::list<Sleep*> waiters;
};

Event::Event(EventLoop& loop) : impl_(new Impl{loop, {}}) {}
Event::~Event() = default;

Task<Result<>> Event::wait(Deadline deadline) {
  Sleep sleep(impl_->loop, deadline);
  const auto waiter = impl_->waiters.insert(impl_->waiters.end(), &sleep);
  const Defer leave([&] { impl_->waiters.erase(waiter); });
  const Sleep::End end = co_await sleep;
  if (end == Sleep::End::woken) { co_return Result<>{}; }
  co_return failure("wait", end == Sleep::End::timed_out ? std::errc::timed_out : std::errc::operation_canceled);
}

void Event::notify_all() {
  for (Sleep* const waiter : impl_->waiters) { waiter->wake(); }
}

Task<Result<>> sleep_until(Deadline deadline) {
  EventLoop* const loop = co_await CurrentLoop();
  const Sleep::End end = co_await Sleep(*loop, deadline);
  if (end == Sleep::End::cancelled) { co_return failure("sleep", std::errc::operation_canceled); }
  co_return Result<>{};
}

void Yield::resume_later(EventLoop& loop, std::coroutine_handle<> caller) {
  boost::asio::post(loop.context(), [caller] { caller.resume(); });
}

}  // namespace stagepost::net
