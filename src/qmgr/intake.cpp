#include "qmgr/intake.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "log/log.hpp"

namespace stagepost::qmgr {

void Intake::announce(queue::QueueId id) {
  if (announced_.size() >= kAnnouncedLimit) {
    scan_incoming();
    return;
  }
  announced_.push_back(std::move(id));
}

void Intake::scan_incoming() { incoming_.wanted = true; }

void Intake::scan_deferred(Times times) {
  deferred_.wanted = true;
  deferred_.ignore_times_next = deferred_.ignore_times_next || times == Times::ignore;
}

std::optional<Candidate> Intake::next(std::chrono::system_clock::time_point now) {
  deferred_turn_ = !deferred_turn_;
  if (deferred_turn_) {
    auto candidate = step(deferred_, now);
    return candidate ? candidate : next_new(now);
  }
  auto candidate = next_new(now);
  return candidate ? candidate : step(deferred_, now);
}

std::optional<Candidate> Intake::next_new(std::chrono::system_clock::time_point now) {
  if (announced_.empty()) { return step(incoming_, now); }
  Candidate candidate{.id = std::move(announced_.front())};
  announced_.pop_front();
  return candidate;
}

std::optional<Candidate> Intake::step(Walk& walk, std::chrono::system_clock::time_point now) {
  if (!walk.scan) {
    if (!walk.wanted) { return std::nullopt; }
    walk.wanted = false;
    walk.ignore_times = std::exchange(walk.ignore_times_next, false);
    walk.scan.emplace(*directory_, walk.queue);
  }
  const auto now_seconds = std::chrono::system_clock::to_time_t(now);
  for (std::size_t looked_at = 0; looked_at < kEntriesPerTurn; ++looked_at) {
    const auto entry = walk.scan->next_seen();
    if (!entry) { log::warning("scan of {}: {}", queue::to_string(walk.queue), entry.error().message()); }
    if (!entry || !*entry) {
      walk.scan.reset();
      return std::nullopt;
    }
    struct stat status{};
    const int found = ::fstatat((*entry)->directory_fd, (*entry)->name, &status, AT_SYMLINK_NOFOLLOW);
    if (found != 0 || !S_ISREG(status.st_mode)) { continue; }               // gone, or not ours
    if ((status.st_mode & S_IXUSR) == 0) { continue; }                      // still being written
    if (!walk.ignore_times && status.st_mtime > now_seconds) { continue; }  // its time has not come
    auto id = queue::QueueId::parse((*entry)->name);
    if (!id) { continue; }
    return Candidate{.id = std::move(*id), .from = walk.queue, .scanned = true, .flushed = walk.ignore_times};
  }
  return std::nullopt;
}

}  // namespace stagepost::qmgr
