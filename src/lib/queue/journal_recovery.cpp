#include "queue/journal_recovery.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "base/sys.hpp"
#include "queue/completion_log.hpp"
#include "queue/journal_segment.hpp"
#include "queue/lock.hpp"
#include "queue/message_writer.hpp"
#include "queue/nursery.hpp"

namespace stagepost::queue::journal {
namespace {

constexpr std::array kPlaces{QueueName::incoming, QueueName::active,   QueueName::deferred, QueueName::hold,
                             QueueName::corrupt,  QueueName::maildrop, QueueName::saved};
/// Where a completed message may show up again after a power cut.
constexpr std::array kLivePlaces{QueueName::incoming, QueueName::active, QueueName::deferred, QueueName::hold};

bool is_missing(const Error& error) { return error.is(std::errc::no_such_file_or_directory); }

std::string key_of(const Instance& instance) {
  return fmt::format("{} {} {} {}", instance.id.str(), instance.arrival.seconds, instance.arrival.microseconds,
                     instance.create_time);
}

Result<std::string> read_whole(int fd, std::size_t limit) {
  SP_TRY(const auto status, sys::fstat(fd));
  std::string bytes(std::min<std::size_t>(static_cast<std::size_t>(status.st_size), limit), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    SP_TRY(const std::size_t got, sys::pread(fd, std::span(bytes).subspan(have), static_cast<off_t>(have)));
    if (got == 0) { break; }
    have += got;
  }
  bytes.resize(have);
  return bytes;
}

class Recovery {
 public:
  Recovery(const QueueDirectory& directory, const RecoveryOptions& options)
      : directory_(directory), options_(options), path_(directory.root() + "/journal"), completions_(path_) {}

  Result<RecoveryReport> run();

 private:
  struct Orphan {
    unique_fd fd;
    std::string name;
  };
  struct Found {
    unique_fd fd;
    std::string path;
  };

  Result<bool> lock();
  Result<std::vector<Orphan>> sort_files();
  Result<> set_aside(const std::string& name, std::string_view why);
  Result<std::optional<SegmentHeader>> load(const Orphan& orphan, std::string& bytes);
  Result<> find_wanted(const std::vector<Orphan>& orphans);
  Result<> read_completions();
  Result<> replay(const Orphan& orphan);
  std::optional<Found> locate(const QueueId& id) const;
  Result<std::unordered_map<std::string, std::string>> scan_for(const std::vector<Record>& records) const;
  Result<bool> settle_found(const Record& record, const Found& found, bool same_boot);
  Result<> rewrite(const Found& found, const std::string& bytes, const struct stat& status);
  Result<> restore(const Record& record);
  Result<> sync_everything() const;
  Result<> finish_removals();
  void clear_nursery() const;

  const QueueDirectory& directory_;
  const RecoveryOptions& options_;
  std::string path_;
  unique_fd lock_;
  unique_fd queue_fd_;
  std::unordered_set<std::string> wanted_;     // keys of the messages in orphans
  std::unordered_set<std::string> completed_;  // those of them that are
  CompletionReader completions_;
  RecoveryReport report_;
};

Result<bool> Recovery::lock() {
  auto opened = sys::open(path_, O_RDONLY | O_DIRECTORY);
  if (!opened) { return std::unexpected(std::move(opened).error()); }
  lock_ = *std::move(opened);
  const Deadline deadline = within(options_.patience);
  for (;;) {
    const auto locked = try_lock(lock_.get());
    if (locked) { return true; }
    if (!locked.error().is(std::errc::resource_unavailable_try_again)) { return std::unexpected(locked.error()); }
    if (deadline.passed()) { return false; }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

/// Segments of dead processes, locked by us from now on; half-made ones are removed.
Result<std::vector<Recovery::Orphan>> Recovery::sort_files() {
  SP_TRY(auto names, sys::list_directory(path_));
  std::ranges::sort(names);
  std::vector<Orphan> orphans;
  for (auto& name : names) {
    const bool segment = name.starts_with(kSegmentPrefix);
    const std::string path = path_ + '/' + name;
    if (name.starts_with(kCompletedPrefix)) {
      const auto log = sys::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      report_.live = report_.live || (log && !try_lock(log->get()));
    }
    if (!segment && !name.starts_with(kNewPrefix)) { continue; }
    auto fd = sys::open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    if (!fd) {
      if (is_missing(fd.error())) { continue; }
      if (!segment) { continue; }
      const auto what = sys::lstat(path);
      if (what && !S_ISREG(what->st_mode)) {
        SP_TRY(set_aside(name, "not a regular file"));
        continue;
      }
      // It may belong to a process that lives and goes on writing: nobody may lose it because of us.
      report_.live = true;
      report_.warnings.push_back(fmt::format("journal: {}", fd.error().message()));
      continue;
    }
    const auto status = sys::fstat(fd->get());
    if (!status || !S_ISREG(status->st_mode)) {
      SP_TRY(set_aside(name, "not a regular file"));
      continue;
    }
    if (!try_lock(fd->get())) {
      report_.live = report_.live || segment;
      continue;
    }
    if (segment) {
      orphans.push_back({*std::move(fd), std::move(name)});
    } else {
      static_cast<void>(sys::unlink(path));
    }
  }
  return orphans;
}

Result<> Recovery::set_aside(const std::string& name, std::string_view why) {
  std::string target;
  for (int n = 0;; ++n) {
    target = fmt::format("{}{}.{}", kDamagedPrefix, name, n);
    if (!sys::lstat(path_ + '/' + target)) { break; }
  }
  report_.warnings.push_back(fmt::format("journal: {}: {}; moved aside as journal/{}", name, why, target));
  return sys::rename(path_ + '/' + name, path_ + '/' + target);
}

/// Header and bytes of a segment; nullopt when it had to be set aside.
Result<std::optional<SegmentHeader>> Recovery::load(const Orphan& orphan, std::string& bytes) {
  auto read = read_whole(orphan.fd.get(), kSegmentOctetsLimit);
  if (!read) {
    SP_TRY(set_aside(orphan.name, read.error().message()));
    return std::nullopt;
  }
  bytes = *std::move(read);
  const auto header = parse_header(bytes);
  if (!header) {
    SP_TRY(set_aside(orphan.name, describe(header.error())));
    return std::nullopt;
  }
  return *header;
}

Result<> Recovery::find_wanted(const std::vector<Orphan>& orphans) {
  for (const auto& orphan : orphans) {
    const auto bytes = read_whole(orphan.fd.get(), kSegmentOctetsLimit);
    if (!bytes) { continue; }  // load() will say so
    const auto header = parse_header(*bytes);
    if (!header) { continue; }
    SegmentReader reader(*bytes, *header);
    while (const auto record = reader.next()) { wanted_.insert(key_of(record->instance)); }
  }
  return {};
}

/// Reads what was added to the completion logs since the last time.
Result<> Recovery::read_completions() {
  if (wanted_.empty()) { return {}; }
  return completions_.poll([&](const Completion& completion) {
    std::string key = key_of(completion.instance);
    if (wanted_.contains(key)) { completed_.insert(std::move(key)); }
  });
}

std::optional<Recovery::Found> Recovery::locate(const QueueId& id) const {
  for (const QueueName place : kPlaces) {
    std::string path = directory_.path(place, id);
    auto fd = sys::open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    if (fd) { return Found{*std::move(fd), std::move(path)}; }
  }
  return std::nullopt;
}

/// Paths of these messages' files, wherever in the queues they are.
Result<std::unordered_map<std::string, std::string>> Recovery::scan_for(const std::vector<Record>& records) const {
  std::unordered_set<std::string_view> names;
  for (const auto& record : records) { names.insert(record.instance.id.str()); }
  std::unordered_map<std::string, std::string> paths;
  for (const QueueName place : kPlaces) {
    QueueScan scan(directory_, place);
    for (;;) {
      const auto entry = scan.next();
      if (!entry) {
        if (is_missing(entry.error())) { break; }  // "saved" need not exist
        return std::unexpected(entry.error());
      }
      if (!*entry) { break; }
      if (names.contains((*entry)->name)) { paths.emplace((*entry)->name, (*entry)->path); }
    }
  }
  return paths;
}

/// False: the file is not this message's.
Result<bool> Recovery::settle_found(const Record& record, const Found& found, bool same_boot) {
  SP_TRY(const auto status, sys::fstat(found.fd.get()));
  if (!S_ISREG(status.st_mode)) { return false; }
  const bool complete = (status.st_mode & S_IXUSR) != 0;
  // One octet more than expected tells a file that is too long.
  SP_TRY(const std::string file, read_whole(found.fd.get(), record.content.size() + 1));
  std::string bytes(record.content);
  const Comparison comparison = merge_marks(bytes, file);
  const auto instance = parse_instance(file, record.instance.id);
  if (instance && *instance != record.instance) { return false; }
  if (same_boot) {
    // The page cache did not die, so the file is what it was made to be.
    if (!complete && comparison == Comparison::equal) {
      ++report_.discarded;
      SP_TRY(sys::unlink(found.path));
      return true;
    }
    if (options_.running || report_.live) { return instance.has_value() || !complete; }
  }
  if (complete && comparison == Comparison::equal) { return true; }
  ++report_.repaired;
  SP_TRY(rewrite(found, bytes, status));
  return true;
}

Result<> Recovery::rewrite(const Found& found, const std::string& bytes, const struct stat& status) {
  const auto octets = static_cast<off_t>(bytes.size());
  SP_TRY(sys::pwrite_all(found.fd.get(), bytes, 0));
  if (::ftruncate(found.fd.get(), octets) != 0) { return errno_failure("truncate " + found.path); }
  // In deferred/ the times say when the next attempt is due.
  const std::array times{status.st_atim, status.st_mtim};
  if (::futimens(found.fd.get(), times.data()) != 0) { return errno_failure("set times of " + found.path); }
  return sys::fchmod(found.fd.get(), (status.st_mode & 07777U) | S_IRUSR | S_IWUSR | S_IXUSR);
}

Result<> Recovery::restore(const Record& record) {
  const QueueName queue = record.place == Place::hold ? QueueName::hold : QueueName::incoming;
  ++report_.restored;
  SP_TRY(auto writer, MessageWriter::create(directory_, queue, {}));
  writer.append_records(record.content);
  SP_TRY(writer.flush());
  const bool taken = std::ranges::any_of(
      kPlaces, [&](QueueName place) { return sys::lstat(directory_.path(place, record.instance.id)).has_value(); });
  if (taken) {
    report_.warnings.push_back(fmt::format("journal: {}: restored as {}", record.instance.id.str(), writer.id().str()));
  } else {
    // Its own name, under which recovery finds it if it is interrupted. Before it is complete, so that there are never
    // two.
    SP_TRY(directory_.move(writer.id(), queue, record.instance.id, queue));
  }
  return writer.complete();
}

Result<> Recovery::replay(const Orphan& orphan) {
  std::string bytes;
  SP_TRY(const auto header, load(orphan, bytes));
  if (!header) { return {}; }
  ++report_.segments;
  const bool same_boot = header->boot_id == options_.boot_id && header->boot_id != BootId{};
  SegmentReader reader(bytes, *header);
  std::vector<Record> missing;
  while (const auto record = reader.next()) {
    if (completed_.contains(key_of(record->instance))) { continue; }
    ++report_.messages;
    const auto found = locate(record->instance.id);
    bool settled = false;
    if (found) { SP_TRY(settled, settle_found(*record, *found, same_boot)); }
    if (!settled) { missing.push_back(*record); }
  }
  if (reader.damaged() > 0) {
    report_.warnings.push_back(
        fmt::format("journal: {}: {} records are damaged and were skipped", orphan.name, reader.damaged()));
  }
  const bool others = same_boot && (options_.running || report_.live);
  if (!missing.empty() && !others) {
    SP_TRY(const auto paths, scan_for(missing));
    // It may have ended while it was looked for.
    SP_TRY(read_completions());
    for (const auto& record : missing) {
      if (completed_.contains(key_of(record.instance))) { continue; }
      const auto path = paths.find(record.instance.id.str());
      bool settled = false;
      if (path != paths.end()) {
        auto fd = sys::open(path->second, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
        if (fd) { SP_TRY(settled, settle_found(record, {*std::move(fd), path->second}, same_boot)); }
      }
      if (!settled) { SP_TRY(restore(record)); }
    }
  }
  SP_TRY(sync_everything());
  SP_TRY(sys::unlink(path_ + '/' + orphan.name));
  return sys::fsync(lock_.get());
}

Result<> Recovery::sync_everything() const {
  if (::syncfs(queue_fd_.get()) != 0) { return errno_failure("syncfs"); }
  return {};
}

/// Files that died before they got their name.
void Recovery::clear_nursery() const {
  constexpr std::time_t kLeftover = 3600;
  const Nursery nursery(directory_.root());
  for (const auto& place : nursery.directories()) {
    const auto names = sys::list_directory(place);
    if (!names) { continue; }
    for (const auto& name : *names) {
      const std::string path = place + '/' + name;
      const auto status = sys::lstat(path);
      if (status && S_ISREG(status->st_mode) && status->st_mtime + kLeftover < std::time(nullptr)) {
        static_cast<void>(sys::unlink(path));
      }
    }
  }
}

/// Nothing is in the journal but completions: what they say is gone goes now, and then they.
Result<> Recovery::finish_removals() {
  SP_TRY(const auto names, sys::list_directory(path_));
  std::vector<std::pair<unique_fd, std::string>> logs;
  for (const auto& name : names) {
    if (!name.starts_with(kCompletedPrefix)) { continue; }
    auto fd = sys::open(path_ + '/' + name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!fd || !try_lock(fd->get())) { return {}; }  // somebody has begun to work meanwhile
    logs.emplace_back(*std::move(fd), name);
  }
  if (logs.empty()) { return {}; }
  Result<> status;
  const auto remove_again = [&](const Completion& completion) {
    if (completion.kind != CompletionKind::removed) { return; }
    const QueueId& id = completion.instance.id;
    for (const QueueName place : kLivePlaces) {
      const std::string path = directory_.path(place, id);
      const auto fd = sys::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      if (!fd) { continue; }
      const auto mode = sys::fstat(fd->get());
      if (!mode || !S_ISREG(mode->st_mode) || (mode->st_mode & S_IXUSR) == 0) { continue; }
      // A file without its first records was never stored: what the journal had of other messages is in place already.
      const auto instance = read_instance(fd->get(), id);
      if (instance && *instance != completion.instance) { continue; }
      if (const auto done = sys::unlink(path); !done && !is_missing(done.error())) { status = done; }
      ++report_.removed;
    }
  };
  CompletionReader reader(path_);
  SP_TRY(reader.poll(remove_again));
  SP_TRY(std::move(status));
  if (report_.removed > 0) { SP_TRY(sync_everything()); }
  for (const auto& [fd, name] : logs) { SP_TRY(sys::unlink(path_ + '/' + name)); }
  return sys::fsync(lock_.get());
}

Result<RecoveryReport> Recovery::run() {
  const auto locked = lock();
  if (!locked) {
    // What cannot be looked into cannot be replayed, today; cleanup will not be able to use it either.
    if (!is_missing(locked.error())) { report_.warnings.push_back("journal: " + locked.error().message()); }
    return std::move(report_);
  }
  if (!*locked) {
    report_.busy = true;
    return std::move(report_);
  }
  // Before anything is written: it reports each error of writing back from here on.
  SP_TRY(queue_fd_, sys::open(directory_.root(), O_RDONLY | O_DIRECTORY));
  SP_TRY(const auto orphans, sort_files());
  SP_TRY(find_wanted(orphans));
  SP_TRY(read_completions());
  for (const auto& orphan : orphans) { SP_TRY(replay(orphan)); }
  if (!report_.live && !options_.running) {
    clear_nursery();
    SP_TRY(finish_removals());
  }
  return std::move(report_);
}

}  // namespace

std::string RecoveryReport::summary() const {
  return fmt::format(
      "journal: replayed {} segments with {} messages: {} restored, {} repaired, {} never acknowledged, {} removed "
      "again",
      segments, messages, restored, repaired, discarded, removed);
}

Result<RecoveryReport> recover(const QueueDirectory& directory, const RecoveryOptions& options) {
  return Recovery(directory, options).run();
}

bool is_empty(const std::string& directory) {
  const auto names = sys::list_directory(directory);
  if (!names) { return names.error().is(std::errc::no_such_file_or_directory); }
  const std::string_view nursery = kNurseryDirectory.substr(kNurseryDirectory.rfind('/') + 1);
  return std::ranges::all_of(
      *names, [&](const std::string& name) { return name == nursery || name.starts_with(kDamagedPrefix); });
}

Comparison merge_marks(std::string& committed, std::string_view file) {
  Comparison comparison = committed.size() == file.size() ? Comparison::equal : Comparison::damaged;
  // Where the delay warning is noted: the data of the record W.
  std::size_t warn_begin = committed.size();
  std::size_t warn_end = warn_begin;
  std::string_view rest(committed);
  while (const auto parsed = parse_record(rest)) {
    if (parsed->record.type == RecordType::warn_time) {
      warn_begin = static_cast<std::size_t>(parsed->record.data.data() - committed.data());
      warn_end = warn_begin + parsed->record.data.size();
    }
    if (warn_end < committed.size() || parsed->record.type == RecordType::content_start) { break; }
    rest.remove_prefix(parsed->octets);
  }
  const std::size_t both = std::min(committed.size(), file.size());
  for (std::size_t i = 0; i < both; ++i) {
    if (committed[i] == file[i]) { continue; }
    if (committed[i] == static_cast<char>(RecordType::recipient) &&
        file[i] == static_cast<char>(RecordType::done_recipient)) {
      committed[i] = file[i];
    } else if (i < warn_begin || i >= warn_end || file[i] == '\0') {
      comparison = Comparison::damaged;
    }
  }
  return comparison;
}

}  // namespace stagepost::queue::journal
