// Which scheduling policy the threads of a daemon have, by how much there is to do. With much of it, finishing the work
// at hand beats answering at once: SCHED_BATCH, in which a thread that is woken does not take the CPU from the one that
// runs. With little of it the same policy makes each step of a message wait for the clock tick whenever anything else
// runs on the CPU, so the policy is the normal one.
#pragma once

#include "base/deadline.hpp"

namespace stagepost::work_pace {

/// Decides from the rate of handled events whether there is much to do.
class Meter {
 public:
  /// What is counted for at least this long decides.
  static constexpr SteadyClock::duration kWindow = std::chrono::milliseconds(100);
  /// Messages a second: much to do from the first on, little to do below the second.
  static constexpr double kBusy = 150;
  static constexpr double kCalm = 100;

  explicit Meter(SteadyClock::time_point now, double events_per_message = 6)
      : events_per_message_(events_per_message), begun_(now) {}
  /// `events` more were handled until `now`. Returns busy().
  bool count(unsigned events, SteadyClock::time_point now);
  [[nodiscard]] bool busy() const { return busy_; }

 private:
  double events_per_message_;
  SteadyClock::time_point begun_;
  unsigned long long events_ = 0;
  bool busy_ = false;
};

/// For daemons, once, on the thread of the event loop: from now on the policy follows the load. Does nothing if an
/// administrator chose a policy. Refusal by the kernel (a container may forbid it) costs only speed.
void follow_load();
/// For a program whose event loop handles many more events for a message than most, before the first of them.
void expect_events_per_message(double events);
/// The event loop handled an event. Cheap: looks at the clock now and then.
void event_handled();
/// What the event loop's thread found last; false in programs that do not follow the load.
[[nodiscard]] bool much_to_do();
/// Other threads, before each piece of work: takes over what the event loop's thread found.
void join_in();
/// A thread whose work nobody waits for: never takes the CPU from another one.
void stay_behind();

}  // namespace stagepost::work_pace
