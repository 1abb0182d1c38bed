// Points in time for waits. A Deadline is absolute, so passing it down several calls bounds their sum.
#pragma once

#include <chrono>

namespace stagepost {

using SteadyClock = std::chrono::steady_clock;

class Deadline {
 public:
  /// Never: for waits that another event is certain to end.
  static constexpr Deadline never() { return Deadline(SteadyClock::time_point::max()); }
  static Deadline after(SteadyClock::duration limit) {
    const auto now = SteadyClock::now();
    return limit > SteadyClock::time_point::max() - now ? never() : Deadline(now + limit);
  }
  explicit constexpr Deadline(SteadyClock::time_point at) : at_(at) {}

  [[nodiscard]] constexpr SteadyClock::time_point at() const { return at_; }
  [[nodiscard]] constexpr bool is_never() const { return at_ == SteadyClock::time_point::max(); }
  [[nodiscard]] bool passed() const { return !is_never() && SteadyClock::now() >= at_; }
  [[nodiscard]] static constexpr Deadline earlier(Deadline a, Deadline b) { return a.at_ < b.at_ ? a : b; }

 private:
  SteadyClock::time_point at_;
};

/// A deadline this far from now: `within(std::chrono::seconds(300))`.
inline Deadline within(SteadyClock::duration limit) { return Deadline::after(limit); }

}  // namespace stagepost
