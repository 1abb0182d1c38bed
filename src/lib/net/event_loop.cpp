#include "net/event_loop.hpp"

#include <exception>
#include <list>
#include <optional>
#include <sched.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/work_pace.hpp"

namespace stagepost::net {

namespace {
struct SignalHook {
  SignalHook(boost::asio::io_context& context, int signal_number, std::function<void()> on_signal)
      : set(context, signal_number), handler(std::move(on_signal)) {}

  boost::asio::signal_set set;
  std::function<void()> handler;

  void wait() {
    set.async_wait([this](const boost::system::error_code& error, int) {
      if (error) { return; }
      handler();
      wait();
    });
  }
};

RootTask run_to_end(Task<> task, std::exception_ptr& thrown, bool& done) {
  try {
    co_await std::move(task);
  } catch (...) { thrown = std::current_exception(); }
  done = true;
}
}  // namespace

struct EventLoop::Impl {
  explicit Impl(std::size_t threads) : blocking_threads(threads) {}

  boost::asio::io_context context{1};
  std::list<SignalHook> signals;
  std::size_t blocking_threads;
  std::optional<boost::asio::thread_pool> pool;
};

EventLoop::EventLoop(std::size_t blocking_threads) : impl_(std::make_unique<Impl>(blocking_threads)) {}

EventLoop::~EventLoop() {
  if (impl_->pool) { impl_->pool->join(); }
}

void EventLoop::run() { impl_->context.run(); }
void EventLoop::stop() { impl_->context.stop(); }
void EventLoop::post(std::function<void()> work) { boost::asio::post(impl_->context, std::move(work)); }

void EventLoop::on_signal(int signal_number, std::function<void()> handler) {
  SignalHook& hook = impl_->signals.emplace_back(impl_->context, signal_number, std::move(handler));
  hook.wait();
}

void EventLoop::run_task(Task<> task) {
  std::exception_ptr thrown;
  bool done = false;
  TaskControl control{this};
  const RootTask root = run_to_end(std::move(task), thrown, done);
  root.frame.promise().control = &control;
  boost::asio::post(impl_->context, root.frame);
  impl_->context.restart();
  // With much to do, what is ready comes first, then those who may be about to give us more: a process that sleeps
  // after each step of one message, and is woken for the next, costs a change of processes a step. Where nobody else
  // wants the CPU, sched_yield() returns at once. With little to do it would only let strangers go first.
  while (!done) {
    const bool much = work_pace::much_to_do();
    if (!much || impl_->context.poll_one() == 0) {
      if (much) { ::sched_yield(); }
      if (impl_->context.run_one() == 0) { break; }
    }
    work_pace::event_handled();
  }
  if (!done) { root.frame.destroy(); }  // it waits for something that never comes
  if (thrown) { std::rethrow_exception(thrown); }
}

boost::asio::io_context& EventLoop::context() { return impl_->context; }

std::shared_ptr<void> keep_running(EventLoop& loop) {
  return std::make_shared<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>>(
      loop.context().get_executor());
}

void submit_blocking(EventLoop& loop, std::function<void()> job) {
  auto& impl = *loop.impl_;
  if (!impl.pool) { impl.pool.emplace(impl.blocking_threads); }
  boost::asio::post(*impl.pool, [job = std::move(job)] {
    work_pace::join_in();
    job();
  });
}

}  // namespace stagepost::net
