// See the header.
#include "master/service_pool.hpp"

#include <algorithm>
#include <limits>

namespace stagepost::master {

using ipc::Kind;
using ipc::Verb;

namespace {
constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();
}

std::uint32_t ServicePool::planned_processes() const {
  const std::uint32_t cores = std::max<std::uint32_t>(limits_.cores, 1);
  if (limits_.maxproc == 0) { return cores; }
  const std::uint32_t per_process = std::max<std::uint32_t>(limits_.process_session_limit, 1);
  const std::uint32_t demanded = (limits_.maxproc - 1) / per_process + 1;
  return std::max(std::min(cores, limits_.maxproc), demanded);
}

std::uint32_t ServicePool::share() const {
  const std::uint32_t per_process = std::max<std::uint32_t>(limits_.process_session_limit, 1);
  if (limits_.maxproc == 0) { return per_process; }
  const std::uint32_t even = (limits_.maxproc - 1) / planned_processes() + 1;
  return std::min(even, per_process);
}

std::uint64_t ServicePool::claimed(const Child& child) const {
  if (child.kind == Kind::single) {
    // An exclusive single process is the whole service until it is gone.
    return child.state == State::retiring && child.overlap ? 0 : kNoLimit;
  }
  if (child.state == State::retiring) { return child.sessions; }
  return child.kind == Kind::isolated ? std::min<std::uint32_t>(child.quota, 1) : child.quota;
}

std::uint64_t ServicePool::remaining() const {
  const std::uint64_t total = limits_.maxproc == 0 ? kNoLimit : limits_.maxproc;
  std::uint64_t used = 0;
  for (const auto& [pid, child] : children_) {
    const std::uint64_t one = claimed(child);
    if (one == kNoLimit) { return 0; }
    used += one;
  }
  if (limits_.maxproc == 0) { return kNoLimit; }
  return used >= total ? 0 : total - used;
}

std::uint32_t ServicePool::next_quota() const {
  const std::uint64_t left = remaining();
  if (left == 0) { return 0; }
  if (kind_ == Kind::single) { return ipc::kUnlimited; }
  if (kind_ == Kind::isolated) { return 1; }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(share(), left));
}

void ServicePool::child_started(pid_t child, std::uint32_t quota) {
  children_[child] = Child{.kind = kind_.value_or(Kind::pooled), .quota = quota};
}

bool ServicePool::child_said(pid_t pid, const ipc::StatusMessage& message) {
  const auto found = children_.find(pid);
  if (found == children_.end()) { return false; }
  Child& child = found->second;
  if (message.verb == Verb::hello) {
    const auto kind = ipc::kind_of(message);
    if (child.state != State::starting || !kind) { return false; }
    child.state = State::serving;
    child.kind = *kind;
    child.overlap = (message.value & ipc::kHelloOverlap) != 0;
    kind_ = *kind;
    return true;
  }
  if (child.state == State::starting) { return false; }
  switch (message.verb) {
    case Verb::full:
      child.full = true;
      break;
    case Verb::available:
      child.full = false;
      break;
    case Verb::busy:
      child.busy = true;
      break;
    case Verb::calm:
      child.busy = false;
      break;
    case Verb::retiring:
      // A process cannot have more sessions left than it was allowed to start.
      child.state = State::retiring;
      child.sessions = std::min(message.value, child.quota);
      break;
    default:
      break;
  }
  return true;
}

void ServicePool::child_dismissed(pid_t child) {
  if (const auto found = children_.find(child); found != children_.end()) { found->second.dismissed = true; }
}

void ServicePool::child_exited(pid_t child) { children_.erase(child); }

bool ServicePool::available(const Child& child) {
  return !child.dismissed && child.state != State::retiring && !child.full;
}

bool ServicePool::someone_available() const {
  return std::any_of(children_.begin(), children_.end(), [](const auto& entry) { return available(entry.second); });
}

bool ServicePool::wants_another() const {
  if (kind_ != Kind::pooled || next_quota() == 0) { return false; }
  std::uint32_t running = 0;
  for (const auto& [pid, child] : children_) {
    if (child.dismissed || child.state == State::retiring) { continue; }
    if (child.state == State::starting || (!child.busy && !child.full)) { return false; }
    ++running;
  }
  return running > 0 && running < planned_processes();
}

bool ServicePool::at_limit() const {
  return limits_.maxproc != 0 && kind_.has_value() && kind_ != Kind::single && remaining() == 0 && !someone_available();
}

bool ServicePool::accepts_work(pid_t child) const {
  const auto found = children_.find(child);
  return found != children_.end() && !found->second.dismissed && found->second.state != State::retiring;
}

std::vector<std::pair<pid_t, std::uint32_t>> ServicePool::take_raised_quotas() {
  std::vector<std::pair<pid_t, std::uint32_t>> raised;
  if (limits_.maxproc == 0) { return raised; }
  for (auto& [pid, child] : children_) {
    const bool grows = child.state == State::serving && !child.dismissed && child.kind == Kind::pooled;
    if (!grows || child.quota >= share()) { continue; }
    const auto more = static_cast<std::uint32_t>(std::min<std::uint64_t>(share() - child.quota, remaining()));
    if (more > 0) {
      child.quota += more;
      raised.emplace_back(pid, child.quota);
    }
  }
  return raised;
}

}  // namespace stagepost::master
