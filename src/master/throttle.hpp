// What follows when a child dies: nothing, a warning, or no new child of that service for service_throttle_time. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/deadline.hpp"

namespace stagepost::master {

struct Death {
  int exit_status = 0;   ///< when signal is 0
  int signal = 0;        ///< 0: exited
  bool greeted = false;  ///< it got as far as its first message
  std::uint64_t sessions_done = 0;
  [[nodiscard]] bool clean() const { return signal == 0 && exit_status == 0; }
};

class Throttle {
 public:
  /// Crashes of children that had started well but finished no session, within one throttle time, until they count as a
  /// bad program.
  static constexpr std::size_t kCrashes = 3;

  explicit Throttle(std::chrono::seconds pause) : pause_(pause) {}
  void set_pause(std::chrono::seconds pause) { pause_ = pause; }

  /// True: throttled from now on. A child that never greeted throttles at once, also when it exited with status 0:
  /// whatever it is, it is no daemon.
  [[nodiscard]] bool child_died(const Death& death, SteadyClock::time_point now);
  /// No new child before `until`, for a reason that is not the child's (fork failed).
  void hold(SteadyClock::time_point until) { until_ = until; }
  [[nodiscard]] bool active() const { return until_.has_value(); }
  [[nodiscard]] std::optional<SteadyClock::time_point> until() const { return until_; }
  /// At until(), or at a reload.
  void lift() {
    until_.reset();
    crashes_.clear();
  }

 private:
  std::chrono::seconds pause_;
  std::optional<SteadyClock::time_point> until_;
  std::deque<SteadyClock::time_point> crashes_;
};

}  // namespace stagepost::master
