#include "net/task_group.hpp"

#include <exception>
#include <list>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>

#include "base/assert.hpp"
#include "log/log.hpp"
#include "net/event.hpp"

namespace stagepost::net {

struct TaskGroup::Impl {
  EventLoop& loop;
  std::string name;
  std::size_t limit;
  Event changed;
  std::list<TaskControl> running;

  Impl(EventLoop& event_loop, std::string group_name, std::size_t task_limit)
      : loop(event_loop), name(std::move(group_name)), limit(task_limit), changed(event_loop) {}

  RootTask run(Task<> task, std::list<TaskControl>::iterator control) {
    try {
      co_await std::move(task);
    } catch (const std::exception& e) { log::error("{}: task ended by exception: {}", name, e.what()); } catch (...) {
      log::error("{}: task ended by unknown exception", name);
    }
    running.erase(control);
    changed.notify_all();  // who joins goes on in a later turn of the loop, when this frame is gone
  }
};

TaskGroup::TaskGroup(EventLoop& loop, std::string name, std::size_t limit)
    : impl_(std::make_unique<Impl>(loop, std::move(name), limit)) {}

TaskGroup::~TaskGroup() { SP_ASSERT(impl_->running.empty()); }

void TaskGroup::spawn(Task<> task) {
  SP_ASSERT(!full());
  const auto control = impl_->running.insert(impl_->running.end(), TaskControl{&impl_->loop});
  const RootTask root = impl_->run(std::move(task), control);
  root.frame.promise().control = &*control;
  boost::asio::dispatch(impl_->loop.context(), root.frame);
}

bool TaskGroup::full() const { return size() >= impl_->limit; }
std::size_t TaskGroup::size() const { return impl_->running.size(); }

Task<> TaskGroup::room() {
  while (full()) {
    const auto woken = co_await impl_->changed.wait(Deadline::never());
    if (!woken) { co_return; }
  }
}

void TaskGroup::cancel() {
  for (TaskControl& control : impl_->running) { control.cancel(); }
}

Task<> TaskGroup::join() {
  while (!impl_->running.empty()) {
    const auto woken = co_await impl_->changed.wait(Deadline::never());
    // The owner itself was cancelled: its tasks must end before it may.
    if (!woken) {
      cancel();
      while (!impl_->running.empty()) { co_await yield_now(); }
    }
  }
}

Task<> TaskGroup::cancel_and_join() {
  cancel();
  co_await join();
}

}  // namespace stagepost::net
