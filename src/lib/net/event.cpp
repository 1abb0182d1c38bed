#include "net/event.hpp"

#include <list>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace stagepost::net {
namespace {
constexpr auto kUse = boost::asio::as_tuple(boost::asio::use_awaitable);
}

struct Event::Impl {
  struct Waiter {
    boost::asio::steady_timer timer;
    bool notified = false;
  };
  EventLoop& loop;
  std::list<Waiter> waiters;
};

Event::Event(EventLoop& loop) : impl_(new Impl{loop, {}}) {}
Event::~Event() = default;

Task<Result<>> Event::wait(Deadline deadline) {
  const bool stop = co_await cancelled();
  if (stop) { co_return failure("wait", std::errc::operation_canceled); }
  auto waiter = impl_->waiters.emplace(impl_->waiters.end(), boost::asio::steady_timer(impl_->loop.context()));
  waiter->timer.expires_at(deadline.at());
  [[maybe_unused]] const auto [error] = co_await waiter->timer.async_wait(kUse);
  const bool notified = waiter->notified;
  impl_->waiters.erase(waiter);
  if (notified) { co_return Result<>{}; }
  if (deadline.passed()) { co_return failure("wait", std::errc::timed_out); }
  co_return failure("wait", std::errc::operation_canceled);
}

void Event::notify_all() {
  for (auto& waiter : impl_->waiters) {
    waiter.notified = true;
    waiter.timer.cancel();
  }
}

Task<Result<>> sleep_until(Deadline deadline) {
  const bool stop = co_await cancelled();
  if (stop) { co_return failure("sleep", std::errc::operation_canceled); }
  const auto executor = co_await boost::asio::this_coro::executor;
  boost::asio::steady_timer timer(executor);
  timer.expires_at(deadline.at());
  const auto [error] = co_await timer.async_wait(kUse);
  if (error) { co_return failure("sleep", std::errc::operation_canceled); }
  co_return Result<>{};
}

Task<bool> cancelled() {
  const auto state = co_await boost::asio::this_coro::cancellation_state;
  co_return state.cancelled() != boost::asio::cancellation_type::none;
}

Task<> yield_now() {
  const auto executor = co_await boost::asio::this_coro::executor;
  co_await boost::asio::post(executor, boost::asio::use_awaitable);
}

}  // namespace stagepost::net
