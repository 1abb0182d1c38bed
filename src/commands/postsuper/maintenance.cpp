#include "commands/postsuper/maintenance.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <ranges>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/shared_work.hpp"
#include "base/sys.hpp"
#include "queue/journal_recovery.hpp"
#include "queue/journal_segment.hpp"
#include "queue/lock.hpp"
#include "queue/nursery.hpp"

namespace stagepost::postsuper {
namespace {

using enum queue::QueueName;
using queue::QueueId;
using queue::QueueName;

// A file whose name must change is first called by the new name with this at the end, because that name may be taken
// by another file that has to change as well.
constexpr std::string_view kPending = "#FIX";
constexpr std::size_t kShortestName = 6;
constexpr int kRepairPasses = 3;
constexpr std::size_t kFilesInAReport = 64;
/// Walks find their files in memory, as a rule: as many as can compute.
constexpr std::size_t kWalkThreads = 8;
/// Of a directory without subdirectories: its entry above, and the one in itself.
constexpr nlink_t kLinksOfLeaf = 2;

bool is_complete(const struct stat& status) { return S_ISREG(status.st_mode) && (status.st_mode & S_IXUSR) != 0; }

std::vector<QueueName> queues_of(Action action) {
  switch (action) {
    case Action::remove:
      return {maildrop, incoming, active, deferred, hold};
    case Action::requeue:
    case Action::expire:
    case Action::expire_and_release:
      return {incoming, active, deferred, hold};
    case Action::hold:
      return {incoming, active, deferred};
    case Action::release:
      return {hold};
  }
  return {};
}

bool contains(const std::vector<QueueName>& queues, QueueName queue) {
  return std::ranges::find(queues, queue) != queues.end();
}

}  // namespace

bool is_message_name(std::string_view name) { return name.size() >= kShortestName && QueueId::parse(name).has_value(); }

bool Maintenance::moved(const Result<>& result, std::string_view what) {
  // Gone meanwhile: delivered, or moved by the queue manager.
  if (!result && !result.error().is(std::errc::no_such_file_or_directory)) {
    warn(fmt::format("{}: {}", what, result.error().message()));
  }
  return result.has_value();
}

void Maintenance::warn(std::string_view text) {
  const std::scoped_lock lock(reports_);
  reporter_.warning(text);
}

void Maintenance::files_seen(std::size_t count) {
  const std::scoped_lock lock(reports_);
  for (; count > 0; --count) { reporter_.file_seen(); }
}

Result<std::vector<queue::QueueScan::Entry>> Maintenance::read_entries(queue::QueueScan& scan, std::size_t most) {
  std::vector<queue::QueueScan::Entry> entries;
  while (entries.size() < most) {
    SP_TRY(auto entry, scan.next());
    if (!entry) { break; }
    files_seen(1);
    entries.push_back(*std::move(entry));
  }
  return entries;
}

Result<> Maintenance::recover_journal() {
  // Whether others are at work shows in the journal itself: they hold locks on their files.
  SP_TRY(const auto report, queue::journal::recover(directory_, {.boot_id = queue::journal::read_boot_id()}));
  for (const auto& warning : report.warnings) { reporter_.warning(warning); }
  if (report.did_something()) { reporter_.info(report.summary()); }
  return {};
}

// Asked for each message, answered by one stat as long as the directory does not change. Its time is that of a clock
// tick, so a young one says nothing.
bool Maintenance::journal_in_use() {
  const std::string path = directory_.root() + "/journal";
  const auto status = sys::stat(path);
  if (!status) { return !status.error().is(std::errc::no_such_file_or_directory); }
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const bool known = status->st_mtim.tv_sec == journal_time_.tv_sec && status->st_mtim.tv_nsec == journal_time_.tv_nsec;
  if (!known || status->st_mtim.tv_sec + 1 >= now.tv_sec) {
    journal_in_use_ = queue::journal::has_segments(path);
    journal_time_ = status->st_mtim;
  }
  return journal_in_use_;
}

// The journal must not bring back what is deleted, nor write anew what goes on under another name. Without segments
// there is nothing that could be recovered.
void Maintenance::forget_in_journal(const std::string& path, const QueueId& id, queue::journal::CompletionKind kind) {
  using queue::journal::CompletionKind;
  if (!journal_in_use()) { return; }
  const auto fd = sys::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const auto instance = fd ? queue::read_instance(fd->get(), id) : std::unexpected(fd.error());
  if (!instance) { return; }  // gone, or nothing that cleanup wrote
  auto done = kind == CompletionKind::settled ? sys::fsync(fd->get()) : Result<>{};
  if (done) { done = completions_.append({kind, *instance}); }
  if (!done) { warn(fmt::format("{}: journal: {}", id.str(), done.error().message())); }
}

std::optional<Maintenance::Found> Maintenance::find(const QueueId& id, const std::vector<QueueName>& queues) const {
  // Twice, because a message may move to a queue that was looked at already.
  for (int pass = 0; pass < 2; ++pass) {
    for (const auto queue : queues) {
      const auto status = sys::lstat(directory_.path(queue, id));
      if (status && is_complete(*status)) { return Found{id, queue}; }
    }
  }
  return std::nullopt;
}

bool Maintenance::expire(const Found& found) {
  // The group-execute bit tells the queue manager to give the message back at the next attempt.
  const std::string path = directory_.path(found.queue, found.id);
  const auto fd = sys::open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  if (!fd) {
    static_cast<void>(moved(std::unexpected(fd.error()), "expire"));
    return false;
  }
  const auto status = sys::fstat(fd->get());
  if (!status || !is_complete(*status) || (status->st_mode & S_IXGRP) != 0) { return false; }
  return moved(sys::fchmod(fd->get(), (status->st_mode & 07777U) | S_IXGRP), "expire " + path);
}

// True when the message was where it was found. Reports and counts.
bool Maintenance::perform(Action action, const Found& found, bool by_id) {
  const auto& [id, queue] = found;
  const auto say = [&](std::string_view what) {
    if (by_id) { reporter_.info(fmt::format("{}: {}", id.str(), what)); }
  };
  switch (action) {
    case Action::remove: {
      selected_.push_back({.found = found});
      return true;
    }
    case Action::requeue: {
      // pickup will remove it under this name once it is a new message.
      forget_in_journal(directory_.path(queue, id), id, queue::journal::CompletionKind::settled);
      if (!moved(directory_.move(id, queue, maildrop), "requeue")) { return false; }
      // pickup waits for files from the future; a deferred message has such a time.
      static_cast<void>(::utimensat(AT_FDCWD, directory_.path(maildrop, id).c_str(), nullptr, 0));
      ++counters_.requeued;
      say("requeued");
      return true;
    }
    case Action::hold: {
      if (!moved(directory_.move(id, queue, hold), "hold")) { return false; }
      ++counters_.held;
      say("placed on hold");
      return true;
    }
    case Action::release: {
      if (!moved(directory_.move(id, queue, deferred), "release")) { return false; }
      ++counters_.released;
      say("released from hold");
      return true;
    }
    case Action::expire:
    case Action::expire_and_release: {
      if (expire(found)) {
        ++counters_.expired;
        say("expired");
      }
      return action == Action::expire || queue != hold || perform(Action::release, found, by_id);
    }
  }
  return false;
}

Result<> Maintenance::apply(Action action, const Selection& selection, const std::vector<QueueName>& queues) {
  std::vector<QueueName> places;
  for (const auto queue : queues_of(action)) {
    if (contains(queues, queue)) { places.push_back(queue); }
  }
  for (const auto& id : selection.ids) {
    if (const auto found = find(id, places)) { static_cast<void>(perform(action, *found, true)); }
  }
  remove_selected();
  if (selection.all) {
    const auto status = action == Action::remove ? remove_all(places) : apply_to_all(action, places);
    if (!status) { return status; }
  }
  return completions_.sync();
}

Result<> Maintenance::apply_to_all(Action action, const std::vector<QueueName>& places) {
  for (const auto queue : places) {
    queue::QueueScan scan(directory_, queue);
    for (;;) {
      SP_TRY(const auto entry, scan.next());
      if (!entry) { break; }
      files_seen(1);
      if (const auto id = message_to_change(queue, *entry)) { static_cast<void>(perform(action, {*id, queue}, false)); }
    }
  }
  return {};
}

std::optional<QueueId> Maintenance::message_to_change(QueueName queue, const queue::QueueScan::Entry& entry) {
  auto id = QueueId::parse(entry.name);
  if (!id) {
    warn(fmt::format("bogus file name: {}/{}{}", to_string(queue), entry.hash_path, entry.name));
    return std::nullopt;
  }
  const auto status = sys::lstat(entry.path);
  if (!status || !is_complete(*status)) { return std::nullopt; }
  // After a change of hash_queue_depth or hash_queue_names a message may be in another directory than expected.
  if (entry.hash_path == directory_.hash_path(queue, *id)) { return id; }
  const std::scoped_lock lock(changes_);
  return put_in_place(queue, *id, entry) ? std::move(id) : std::nullopt;
}

void Maintenance::purge_nursery(std::int64_t now) {
  for (const std::string& name : queue::Nursery(directory_.root()).directories()) {
    std::error_code problem;  // Not there: nothing to remove.
    std::filesystem::directory_iterator entry(name, problem);
    for (; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
      const std::string path = entry->path().string();
      const auto status = sys::lstat(path);
      if (status && S_ISREG(status->st_mode) && status->st_mtime + kLeftoverSeconds < now) {
        static_cast<void>(moved(sys::unlink(path), "purge"));
      }
    }
  }
}

void Maintenance::purge_leftover(const queue::QueueScan& scan, const queue::QueueScan::Seen& seen, std::int64_t now) {
  if (!is_message_name(seen.name)) { return; }
  struct stat status{};
  if (::fstatat(seen.directory_fd, seen.name, &status, AT_SYMLINK_NOFOLLOW) != 0) { return; }
  if (!S_ISREG(status.st_mode) || is_complete(status) || status.st_mtime + kLeftoverSeconds >= now) { return; }
  static_cast<void>(moved(sys::unlink(scan.entry(seen).path), "purge"));
}

Result<> Maintenance::purge(const std::vector<QueueName>& queues, std::int64_t now) {
  if (contains(queues, incoming)) { purge_nursery(now); }
  for (const auto queue : queues) {
    if (!holds_messages(queue)) { continue; }
    SP_TRY(for_each_file(queue, [&](const auto& scan, const auto& seen) { purge_leftover(scan, seen, now); }));
  }
  return {};
}

QueueId Maintenance::right_name(const QueueId& id, ino_t inode, NameCheck check) const {
  if (id.is_long() && style_ == queue::IdStyle::long_form) {
    return check == NameCheck::inode_of_long_names && id.inode() != inode ? id.with_inode(inode).value_or(id) : id;
  }
  if (!id.is_long() && id.inode() == inode) { return id; }
  return id.to_short(inode).value_or(id);
}

// Logs have the name of their message, so they go first: a crash in between leaves them to the repair of the message.
bool Maintenance::rename_with_logs(QueueName queue, const std::string& from, const QueueId& old_id,
                                   const QueueId& new_id) {
  for (const auto log : {bounce, defer, trace}) {
    const auto renamed = directory_.move(old_id, log, new_id, log);
    if (!renamed && !renamed.error().is(std::errc::no_such_file_or_directory)) {
      warn(fmt::format("rename log: {}", renamed.error().message()));
    }
  }
  if (holds_messages(queue)) { forget_in_journal(from, old_id, queue::journal::CompletionKind::settled); }
  const std::string pending = directory_.path(queue, new_id) + std::string(kPending);
  auto renamed = sys::rename(from, pending);
  if (!renamed && directory_.make_hash_path(queue, new_id)) { renamed = sys::rename(from, pending); }
  return moved(renamed, "rename");
}

void Maintenance::repair_file(QueueName queue, const queue::QueueScan::Entry& entry, NameCheck check, bool first_pass) {
  std::string_view name = entry.name;
  const bool pending = name.ends_with(kPending);
  if (pending) { name.remove_suffix(kPending.size()); }
  const auto id = QueueId::parse(name);
  const bool valid = holds_messages(queue) ? is_message_name(name) : id.has_value();
  if (!id || !valid) {
    if (first_pass) { warn(fmt::format("bogus file name: {}/{}{}", to_string(queue), entry.hash_path, entry.name)); }
    return;
  }
  if (pending) {
    // Not over a file that waits for its own new name; the next pass tries again.
    const std::string target = directory_.path(queue, *id);
    if (sys::lstat(target)) {
      another_pass_ = true;
    } else {
      static_cast<void>(moved(sys::rename(entry.path, target), "rename"));
    }
    return;
  }
  if (holds_messages(queue) && check != NameCheck::none) {
    const auto status = sys::lstat(entry.path);
    if (!status || !S_ISREG(status->st_mode)) { return; }
    const QueueId right = right_name(*id, status->st_ino, check);
    if (right != *id) {
      if (rename_with_logs(queue, entry.path, *id, right)) {
        ++counters_.renamed;
        another_pass_ = true;
      }
      return;
    }
  }
  static_cast<void>(put_in_place(queue, *id, entry));
}

bool Maintenance::put_in_place(QueueName queue, const QueueId& id, const queue::QueueScan::Entry& entry) {
  if (entry.hash_path == directory_.hash_path(queue, id)) { return true; }
  const std::string target = directory_.path(queue, id);
  if (sys::lstat(target)) {
    warn(fmt::format("{} is in the way of {}", target, entry.path));
    return false;
  }
  auto renamed = sys::rename(entry.path, target);
  if (!renamed && directory_.make_hash_path(queue, id)) { renamed = sys::rename(entry.path, target); }
  if (!moved(renamed, "move")) { return false; }
  // Its logs are where the same rule once put them.
  for (const auto log : {bounce, defer, trace}) {
    const std::string from = fmt::format("{}/{}{}", directory_.path(log), entry.hash_path, id.str());
    const std::string to = directory_.path(log, id);
    if (from != to && sys::lstat(from) && !sys::rename(from, to) && directory_.make_hash_path(log, id)) {
      static_cast<void>(moved(sys::rename(from, to), "move log"));
    }
  }
  return true;
}

// Hash directories of another depth. Deepest first; what is not empty stays.
void Maintenance::remove_directories(QueueName queue) {
  const std::size_t wanted = directory_.hashing().applies_to(queue) ? directory_.hashing().depth : 0;
  struct Pending {
    std::string path;
    std::size_t depth;
  };
  std::vector<Pending> open{{directory_.path(queue), 0}};
  std::vector<std::string> superfluous;
  while (!open.empty()) {
    const Pending current = std::move(open.back());
    open.pop_back();
    // A directory counts its subdirectories, or (on some file systems) always has one link.
    const auto links = sys::lstat(current.path);
    if (links && links->st_nlink == kLinksOfLeaf) { continue; }
    const auto names = sys::list_directory(current.path);
    if (!names) { continue; }
    for (const auto& name : *names) {
      if (name.size() != 1 || current.depth >= queue::kMaxHashDepth) { continue; }
      const std::string path = current.path + '/' + name;
      const auto status = sys::lstat(path);
      if (!status || !S_ISDIR(status->st_mode)) { continue; }
      open.push_back({path, current.depth + 1});
      if (current.depth + 1 > wanted) { superfluous.push_back(path); }
    }
  }
  for (const auto& path : superfluous | std::views::reverse) {
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
      warn(fmt::format("remove subdirectory {}: {}", path, std::error_code(errno, std::system_category()).message()));
    }
  }
}

Result<> Maintenance::walk(queue::QueueScan& scan, const Look& look) {
  std::size_t seen_files = 0;
  const auto report = [&] { files_seen(std::exchange(seen_files, 0)); };
  for (;;) {
    SP_TRY(const auto seen, scan.next_seen());
    if (!seen) { break; }
    look(scan, *seen);
    if (++seen_files == kFilesInAReport) { report(); }
  }
  report();
  return {};
}

Result<> Maintenance::for_each_file(QueueName queue, const Look& look) {
  std::vector<std::string> directories;
  queue::QueueScan top(directory_, queue);
  top.leave_directories_to(directories);
  SP_TRY(walk(top, look));
  Result<> status;
  std::mutex of_status;
  share_work(
      processors(kWalkThreads),
      [&]() -> std::optional<std::string> {
        if (directories.empty()) { return std::nullopt; }
        std::string path = std::move(directories.back());
        directories.pop_back();
        return path;
      },
      [&](const std::string& path) {
        queue::QueueScan scan(directory_, queue, path);
        auto walked = walk(scan, look);
        const std::scoped_lock lock(of_status);
        if (!walked && status) { status = std::move(walked); }
      });
  return status;
}

// Nothing is to be done for the file. The inode is the directory's, which may be wrong only on stacked file systems;
// then stat(2) decides.
bool Maintenance::is_in_order(QueueName queue, const queue::QueueScan::Seen& seen, NameCheck check) const {
  const auto id = QueueId::parse(seen.name);
  if (!id || seen.hash_path != directory_.hash_path(queue, *id)) { return false; }
  if (!holds_messages(queue)) { return true; }
  return id->str().size() >= kShortestName && (check == NameCheck::none || right_name(*id, seen.inode, check) == *id);
}

Result<> Maintenance::repair(const std::vector<QueueName>& queues, NameCheck check,
                             std::optional<std::int64_t> purge_at) {
  bool all_in_order = true;
  // The first pass gives new names, the next ones make them final; a third is for names that were in the way.
  another_pass_ = true;
  for (int pass = 0; pass < kRepairPasses && std::exchange(another_pass_, false); ++pass) {
    for (const auto queue : queues) {
      SP_TRY(for_each_file(queue, [&](const auto& scan, const auto& seen) {
        if (is_in_order(queue, seen, check)) {
          if (purge_at && pass == 0 && holds_messages(queue)) { purge_leftover(scan, seen, *purge_at); }
          return;
        }
        const std::scoped_lock lock(changes_);
        all_in_order = false;
        repair_file(queue, scan.entry(seen), check, pass == 0);
      }));
    }
  }
  for (const auto queue : queues) { remove_directories(queue); }
  if (purge_at && !all_in_order) {
    // What has its right name only now.
    SP_TRY(purge(queues, *purge_at));
  } else if (purge_at && contains(queues, incoming)) {
    purge_nursery(*purge_at);
  }
  return completions_.sync();
}

}  // namespace stagepost::postsuper
