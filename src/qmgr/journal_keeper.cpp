#include "qmgr/journal_keeper.hpp"

#include <algorithm>
#include <fcntl.h>

#include "base/sys.hpp"
#include "log/log.hpp"
#include "net/blocking.hpp"
#include "queue/lock.hpp"

namespace stagepost::qmgr {
namespace {

namespace journal = queue::journal;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::seconds kSyncInterval{1};
constexpr std::chrono::seconds kTendInterval{5};
/// Age and size of a completion log at which a new one begins.
constexpr std::chrono::seconds kLogAge{30};
constexpr std::uint64_t kLogOctets = 4U << 20U;
/// How long a log is kept at least: until file systems have stored the removals that it tells of.
constexpr std::chrono::seconds kKeep{30};

/// The logs that no process writes, and the segments that are on the disk.
struct Survey {
  std::set<std::string> closed_logs;
  std::set<journal::SegmentUse> segments;
};

Result<Survey> survey(const std::string& directory) {
  Survey found;
  // The logs first: a segment that is seen afterwards may be newer than they are, which does no harm.
  SP_TRY(const auto names, sys::list_directory(directory));
  for (const auto& name : names) {
    if (!name.starts_with(journal::kCompletedPrefix)) { continue; }
    const auto fd = sys::open(directory + '/' + name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd && queue::try_lock(fd->get())) { found.closed_logs.insert(name); }
  }
  if (found.closed_logs.empty()) { return found; }
  SP_TRY(auto segments, journal::durable_segments(directory));
  found.segments.insert(segments.begin(), segments.end());
  return found;
}

}  // namespace

JournalKeeper::JournalKeeper(net::EventLoop& loop, queue::QueueDirectory directory, Mode mode, journal::BootId boot_id)
    : loop_(loop),
      directory_(std::move(directory)),
      path_(directory_.root() + "/journal"),
      mode_(mode),
      boot_id_(boot_id),
      log_(path_),
      written_(loop) {}

void JournalKeeper::report(const journal::RecoveryReport& report) const {
  for (const auto& warning : report.warnings) { log::warning("{}", warning); }
  if (report.did_something()) { log::info("{}", report.summary()); }
}

net::Task<Result<>> JournalKeeper::recover() {
  auto replayed = co_await net::run_blocking(loop_, [directory = directory_, boot_id = boot_id_] {
    return journal::recover(directory, {.boot_id = boot_id, .running = false});
  });
  if (!replayed) { co_return std::unexpected(std::move(replayed).error().within("journal")); }
  if (replayed->busy) { co_return failure("journal: another process has been recovering for too long"); }
  report(*replayed);
  in_use_ = replayed->live;
  co_return Result<>{};
}

void JournalKeeper::completed(const queue::Instance& instance) {
  if (mode_ == Mode::off && !in_use_) { return; }
  const bool first = log_.octets() == 0;
  const auto written = log_.append({journal::CompletionKind::removed, instance});
  if (!written) { log::warning("{}: completion not logged: {}", instance.id.str(), written.error().message()); }
  if (first) { log_begun_ = Steady::now(); }
  written_.notify_all();
}

net::Task<> JournalKeeper::sync_log() {
  auto job = log_.sync_job();
  const auto synced = co_await net::run_blocking(loop_, std::move(job));
  if (!synced) {
    log::warning("journal: {}", synced.error().message());
    log_.sync_failed();
  }
}

net::Task<> JournalKeeper::run() {
  auto next_tend = Steady::now() + kTendInterval;
  for (;;) {
    if (log_.unsynced()) {
      co_await sync_log();
      const auto slept = co_await net::sleep_until(within(kSyncInterval));
      if (!slept) { co_return; }
    } else {
      const auto woken = co_await written_.wait(Deadline(next_tend));
      if (!woken && !woken.error().is(std::errc::timed_out)) { co_return; }
    }
    if (Steady::now() >= next_tend) {
      co_await tend();
      next_tend = Steady::now() + kTendInterval;
    }
    const bool cancelled = co_await net::cancelled();
    if (cancelled) { co_return; }
  }
}

/// Replays what processes left that died alone, and removes logs that no segment needs.
net::Task<> JournalKeeper::tend() {
  if (log_.octets() >= kLogOctets || (log_.octets() > 0 && Steady::now() - log_begun_ >= kLogAge)) {
    co_await sync_log();
    // Sync and close are not atomic: what was written meanwhile has to wait for the next time.
    if (!log_.unsynced()) { log_.close(); }
  }
  const auto replayed = co_await net::run_blocking(loop_, [directory = directory_, boot_id = boot_id_] {
    return journal::recover(directory, {.boot_id = boot_id, .running = true, .patience = std::chrono::seconds(0)});
  });
  if (!replayed) {
    log::warning("journal: {}", replayed.error().message());
    co_return;
  }
  report(*replayed);
  in_use_ = replayed->live || replayed->busy;
  const auto found = co_await net::run_blocking(loop_, [path = path_] { return survey(path); });
  if (!found) {
    if (!found.error().is(std::errc::no_such_file_or_directory)) {
      log::warning("journal: {}", found.error().message());
    }
    co_return;
  }
  std::erase_if(closed_logs_, [&](const auto& entry) { return !found->closed_logs.contains(entry.first); });
  for (const auto& name : found->closed_logs) {
    ClosedLog& closed = closed_logs_[name];
    if (!closed.needed_by) { closed.needed_by = found->segments; }
    const bool needed = std::ranges::any_of(
        *closed.needed_by, [&](const journal::SegmentUse& use) { return found->segments.contains(use); });
    if (needed || Steady::now() - closed.closed < kKeep) { continue; }
    const auto removed = sys::unlink(path_ + '/' + name);
    if (!removed) { log::warning("journal: {}", removed.error().message()); }
    closed_logs_.erase(name);
  }
}

net::Task<> JournalKeeper::stop(std::chrono::seconds limit) {
  const Deadline deadline = within(limit);
  if (log_.unsynced()) { co_await sync_log(); }
  while (journal::has_segments(path_) && !deadline.passed()) {
    const auto slept = co_await net::sleep_until(within(std::chrono::milliseconds(50)));
    if (!slept) { break; }
  }
  // A log of ours would keep itself from being removed.
  log_.close();
  const auto replayed = co_await net::run_blocking(loop_, [directory = directory_, boot_id = boot_id_] {
    return journal::recover(directory, {.boot_id = boot_id, .running = false, .patience = std::chrono::seconds(0)});
  });
  if (!replayed) {
    log::warning("journal: {}", replayed.error().message());
  } else {
    report(*replayed);
  }
}

}  // namespace stagepost::qmgr
