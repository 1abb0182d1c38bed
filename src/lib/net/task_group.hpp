// Structured concurrency: a group owns the tasks it spawned; its owner joins it before anything they use goes away.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "net/event_loop.hpp"
#include "net/task.hpp"

namespace stagepost::net {

/// Declare it as the last member of its owner, and `co_await join()` (or cancel_and_join()) before the owner dies:
/// the destructor asserts that no task is left. An exception that leaves a task is logged and ends that task only.
class TaskGroup {
 public:
  /// `limit`: most tasks at a time; see full(). `name` appears in the log line about an escaped exception.
  TaskGroup(EventLoop& loop, std::string name, std::size_t limit);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Starts the task. Its parameters must be values or things that outlive the group (no string_view of the caller's).
  /// Spawning into a full group is a broken invariant: check full() or await room() first.
  void spawn(Task<> task);
  [[nodiscard]] bool full() const;
  [[nodiscard]] std::size_t size() const;
  /// Waits until the group is not full (at once when it is not).
  [[nodiscard]] Task<> room();
  /// Tells every task to end: what they await fails with operation_canceled, and so does every later wait.
  void cancel();
  /// Waits until no task is left. Also waits for those spawned meanwhile.
  [[nodiscard]] Task<> join();
  [[nodiscard]] Task<> cancel_and_join();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stagepost::net
