// See the header.
#include "daemon/session_gate.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace stagepost::daemon {

using ipc::Kind;
using ipc::Verb;

SessionGate::SessionGate(Kind kind, std::uint32_t quota, std::uint64_t max_use)
    : kind_(kind), quota_(quota), max_use_(max_use) {}

std::uint32_t SessionGate::limit() const {
  switch (kind_) {
    case Kind::single:
      return ipc::kUnlimited;
    case Kind::isolated:
      return std::min<std::uint32_t>(quota_, 1);
    case Kind::pooled:
      break;
  }
  return quota_;
}

void SessionGate::session_began() {
  SP_ASSERT(open());
  ++active_;
  ++accepted_;
  if (max_use_ != 0 && accepted_ >= max_use_) { retiring_ = true; }
  report();
}

void SessionGate::session_ended() {
  SP_ASSERT(active_ > 0);
  --active_;
  report();
}

void SessionGate::set_quota(std::uint32_t quota) {
  quota_ = quota;
  // A retiring process has given its quota back already.
  if (!retiring_) { report(); }
}

void SessionGate::retire() {
  if (!retiring_) {
    retiring_ = true;
    report();
  }
}

void SessionGate::report() {
  if (retiring_) {
    messages_.push_back({.verb = Verb::retiring, .value = active_});
    return;
  }
  const bool full = active_ >= limit();
  if (full != told_full_) {
    told_full_ = full;
    messages_.push_back({.verb = full ? Verb::full : Verb::available, .value = active_});
  }
  const bool busy = active_ >= ipc::kBusySessions;
  if (busy != told_busy_) {
    told_busy_ = busy;
    messages_.push_back({.verb = busy ? Verb::busy : Verb::calm, .value = active_});
  }
}

std::vector<ipc::StatusMessage> SessionGate::take_messages() { return std::exchange(messages_, {}); }

}  // namespace stagepost::daemon
