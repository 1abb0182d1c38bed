// See the header.
#include "master/throttle.hpp"

namespace stagepost::master {

bool Throttle::child_died(const Death& death, SteadyClock::time_point now) {
  if (death.greeted) {
    if (death.clean() || death.sessions_done > 0) { return false; }
    // One hostile client must not be able to close a service: a single crash starts a fresh process at once.
    crashes_.push_back(now);
    while (crashes_.front() + pause_ < now) { crashes_.pop_front(); }
    if (crashes_.size() < kCrashes) { return false; }
  }
  crashes_.clear();
  until_ = now + pause_;
  return true;
}

}  // namespace stagepost::master
