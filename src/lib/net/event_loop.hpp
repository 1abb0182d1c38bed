// One event loop on one thread, the heart of every daemon, and the small pool for calls that block.
#pragma once

#include <functional>
#include <memory>

#include "net/task.hpp"

namespace boost::asio {
class io_context;
}

namespace stagepost::net {

class EventLoop {
 public:
  /// `blocking_threads`: size of the pool behind run_blocking (net/blocking.hpp); threads start at the first use.
  explicit EventLoop(std::size_t blocking_threads = 4);
  /// Joins the pool: jobs that run are waited for, so what they refer to outlives them.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Runs until stop() or until nothing is left to wait for.
  void run();
  void stop();
  /// Runs `work` on the loop's thread, soon. The only member that other threads may call.
  void post(std::function<void()> work);
  /// Calls `handler` on the loop each time the signal arrives (signals are handled as events, never in place).
  void on_signal(int signal_number, std::function<void()> handler);

  /// Runs `task` to its end on this loop and returns; for commands and tests. An exception of the task is rethrown.
  void run_task(Task<> task);

  [[nodiscard]] boost::asio::io_context& context();

 private:
  friend void submit_blocking(EventLoop& loop, std::function<void()> job);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// While one of these lives, run() does not return for lack of work (a job on the pool will post its result).
[[nodiscard]] std::shared_ptr<void> keep_running(EventLoop& loop);
/// Runs `job` on the loop's thread pool (implementation of run_blocking).
void submit_blocking(EventLoop& loop, std::function<void()> job);

}  // namespace stagepost::net
