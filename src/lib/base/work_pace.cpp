#include "base/work_pace.hpp"

#include <atomic>
#include <optional>
#include <sched.h>
#include <utility>

namespace stagepost::work_pace {
namespace {

/// Events between two looks at the clock.
constexpr unsigned kLook = 32;

std::atomic<bool> follows{false};
std::atomic<bool> found_much{false};
std::optional<Meter> meter;  // the event loop's thread's
/// What this thread has; unknown: what its creator had.
thread_local std::optional<bool> has_batch;
thread_local bool stays_behind = false;

void choose(bool batch) {
  if (has_batch == batch || stays_behind) { return; }
  const sched_param no_priority{};
  ::sched_setscheduler(0, batch ? SCHED_BATCH : SCHED_OTHER, &no_priority);
  has_batch = batch;
}

}  // namespace

bool Meter::count(unsigned events, SteadyClock::time_point now) {
  events_ += events;
  const auto elapsed = now - begun_;
  if (elapsed < kWindow) { return busy_; }
  const double messages = static_cast<double>(events_) / events_per_message_;
  busy_ = messages / std::chrono::duration<double>(elapsed).count() >= (busy_ ? kCalm : kBusy);
  begun_ = now;
  events_ = 0;
  return busy_;
}

void follow_load() {
  if (::sched_getscheduler(0) == SCHED_OTHER) { follows = true; }
}

void expect_events_per_message(double events) { meter.emplace(SteadyClock::now(), events); }

void event_handled() {
  if (!follows.load(std::memory_order_relaxed)) { return; }
  static unsigned events = 0;
  if (++events < kLook) { return; }
  if (!meter) { meter.emplace(SteadyClock::now()); }
  const bool busy = meter->count(std::exchange(events, 0U), SteadyClock::now());
  found_much.store(busy, std::memory_order_relaxed);
  choose(busy);
}

bool much_to_do() { return found_much.load(std::memory_order_relaxed); }

void join_in() {
  if (follows.load(std::memory_order_relaxed)) { choose(much_to_do()); }
}

void stay_behind() {
  if (follows.load(std::memory_order_relaxed)) {
    choose(true);
    stays_behind = true;
  }
}

}  // namespace stagepost::work_pace
