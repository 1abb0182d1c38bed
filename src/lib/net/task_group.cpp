#include "net/task_group.hpp"

#include <exception>
#include <list>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/assert.hpp"
#include "log/log.hpp"
#include "net/event.hpp"

namespace stagepost::net {
namespace {

Task<> run_in_group(Task<> task) {
  // Cancellation is a normal return here: waits report operation_canceled instead of throwing.
  co_await boost::asio::this_coro::throw_if_cancelled(false);
  co_await std::move(task);
}

}  // namespace

struct TaskGroup::Impl {
  EventLoop& loop;
  std::string name;
  std::size_t limit;
  Event changed;
  std::list<boost::asio::cancellation_signal> signals;
  std::size_t running = 0;

  Impl(EventLoop& event_loop, std::string group_name, std::size_t task_limit)
      : loop(event_loop), name(std::move(group_name)), limit(task_limit), changed(event_loop) {}

  void finished(std::list<boost::asio::cancellation_signal>::iterator signal, const std::exception_ptr& thrown) {
    if (thrown) {
      try {
        std::rethrow_exception(thrown);
      } catch (const std::exception& e) { log::error("{}: task ended by exception: {}", name, e.what()); } catch (...) {
        log::error("{}: task ended by unknown exception", name);
      }
    }
    // Asio 1.26 may still have an emission of this signal queued: the signal goes in a later turn of the loop.
    boost::asio::post(loop.context(), [this, signal] {
      signals.erase(signal);
      --running;
      changed.notify_all();
    });
  }
};

TaskGroup::TaskGroup(EventLoop& loop, std::string name, std::size_t limit)
    : impl_(std::make_unique<Impl>(loop, std::move(name), limit)) {}

TaskGroup::~TaskGroup() { SP_ASSERT(impl_->running == 0); }

void TaskGroup::spawn(Task<> task) {
  SP_ASSERT(!full());
  Impl* const impl = impl_.get();
  const auto signal = impl->signals.emplace(impl->signals.end());
  ++impl->running;
  boost::asio::co_spawn(
      impl->loop.context(), run_in_group(std::move(task)),
      boost::asio::bind_cancellation_slot(
          signal->slot(), [impl, signal](const std::exception_ptr& thrown) { impl->finished(signal, thrown); }));
}

bool TaskGroup::full() const { return impl_->running >= impl_->limit; }
std::size_t TaskGroup::size() const { return impl_->running; }

Task<> TaskGroup::room() {
  while (full()) {
    const auto woken = co_await impl_->changed.wait(Deadline::never());
    if (!woken) { co_return; }
  }
}

void TaskGroup::cancel() {
  for (auto signal = impl_->signals.begin(); signal != impl_->signals.end();) {
    const auto next = std::next(signal);  // a handler run by emit never erases at once, but may append
    signal->emit(boost::asio::cancellation_type::terminal);
    signal = next;
  }
}

Task<> TaskGroup::join() {
  while (impl_->running > 0) {
    const auto woken = co_await impl_->changed.wait(Deadline::never());
    // The owner itself was cancelled: its tasks must end before it may.
    if (!woken) {
      cancel();
      while (impl_->running > 0) { co_await yield_now(); }
    }
  }
}

Task<> TaskGroup::cancel_and_join() {
  cancel();
  co_await join();
}

}  // namespace stagepost::net
