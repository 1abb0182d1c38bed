// Master's event loop: descriptors, timers and signals by epoll and signalfd. Master runs for months as root, so it
// uses nothing larger than it needs: no threads, no coroutines.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <signal.h>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::master {

class Reactor {
 public:
  using TimerId = std::uint64_t;
  /// Blocks `signals` in this process and delivers them as events.
  [[nodiscard]] static Result<Reactor> create(std::initializer_list<int> signals);

  /// Calls `ready` whenever `fd` is readable or has hung up (level-triggered). Not for an fd already watched.
  [[nodiscard]] Result<> watch(int fd, std::function<void()> ready);
  /// Call before closing the descriptor; fine when it is not watched.
  void unwatch(int fd);
  [[nodiscard]] bool watched(int fd) const { return watched_.contains(fd); }

  TimerId at(SteadyClock::time_point when, std::function<void()> fire);
  TimerId after(SteadyClock::duration delay, std::function<void()> fire) {
    return at(SteadyClock::now() + delay, std::move(fire));
  }
  void cancel(TimerId timer);

  void on_signal(std::function<void(int)> handler) { signalled_ = std::move(handler); }
  /// Runs until stop(). `each_turn` is called at least every `longest_wait`.
  [[nodiscard]] Result<> run(SteadyClock::duration longest_wait, const std::function<void()>& each_turn);
  void stop() { stopped_ = true; }

  /// In a child after fork: default signal handling and an empty mask, as a program expects.
  static void restore_signals_in_child();

 private:
  Reactor() = default;
  [[nodiscard]] int wait_milliseconds(SteadyClock::duration longest_wait) const;
  void run_timers();
  void read_signals();

  unique_fd epoll_;
  unique_fd signal_fd_;
  std::map<int, std::function<void()>> watched_;
  struct Timer {
    TimerId id;
    std::function<void()> fire;
  };
  std::multimap<SteadyClock::time_point, Timer> timers_;
  TimerId next_timer_ = 1;
  std::function<void(int)> signalled_;
  bool stopped_ = false;
};

}  // namespace stagepost::master
