#include "queue/journal.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "base/work_pace.hpp"
#include "queue/durability.hpp"

namespace stagepost::queue::journal {
namespace {

/// Where a message of the journal can be; in the order in which it usually goes through them.
constexpr std::array kPlaces{QueueName::incoming, QueueName::active,   QueueName::deferred, QueueName::hold,
                             QueueName::corrupt,  QueueName::maildrop, QueueName::saved};
/// Free and not yet made segments below which the oldest one is stored rather than waited for.
constexpr std::size_t kReserve = 2;

std::string key_of(const Instance& instance) {
  return fmt::format("{} {} {} {}", instance.id.str(), instance.arrival.seconds, instance.arrival.microseconds,
                     instance.create_time);
}

/// A segment must not take the place of mail.
bool has_room_for(const std::string& path, std::uint64_t octets) {
  constexpr std::uint64_t kShare = 8;
  struct statvfs info{};
  if (::statvfs(path.c_str(), &info) != 0) { return true; }  // creating it will say what is wrong
  return info.f_bavail * info.f_frsize / kShare >= octets;
}

}  // namespace

Journal::Journal(QueueDirectory directory, Options options)
    : directory_(std::move(directory)),
      path_(directory_.root() + "/journal"),
      options_(std::move(options)),
      completions_(path_),
      withdrawn_(path_) {
  if (!options_.data_sync) { options_.data_sync = ::fdatasync; }
  if (!options_.file_sync) { options_.file_sync = ::fsync; }
  if (!options_.all_sync) { options_.all_sync = ::syncfs; }
  if (!options_.post) {
    options_.post = [](const std::function<void()>& job) { job(); };
  }
  // Opened once: it reports each error of writing back since then.
  auto opened = sys::open(directory_.root(), O_RDONLY | O_DIRECTORY);
  if (opened) {
    queue_fd_ = *std::move(opened);
  } else {
    warn(opened.error().message());
    disabled_ = true;
  }
  sync_thread_ = std::thread([this] { sync_loop(); });
  keep_thread_ = std::thread([this] { keep_loop(); });
}

Journal::~Journal() { close(); }

void Journal::warn(const std::string& text) const {
  if (options_.warn) { options_.warn(text); }
}

bool Journal::append(const Instance& instance, Place place, std::string_view content, std::string_view more_content,
                     Done done) {
  const std::size_t octets = content.size() + more_content.size();
  const std::size_t id_octets = instance.id.str().size();
  if (octets > kContentOctetsLimit || id_octets > kIdOctetsLimit) { return false; }
  const std::scoped_lock lock(mutex_);
  if (disabled_ || closing_ || !pick_segment(id_octets, octets)) { return false; }
  Segment& segment = *current_;
  if (segment.file.empty()) {
    segment.first_record = Clock::now();
    keep_wanted_.notify_one();
  }
  const bool had_room = !wants_segment();
  const auto written = segment.file.append(instance, place, content, more_content);
  if (!written) {
    warn("journal: " + written.error().message());
    segment.failed = true;
    disabled_ = true;
    keep_wanted_.notify_one();
    return false;
  }
  std::string key = key_of(instance);
  open_[key] = current_;
  segment.open.insert_or_assign(std::move(key), instance);
  ++figures_.appended;
  if (segment.waiting.empty()) { dirty_.push_back(current_); }
  segment.waiting.push_back(std::move(done));
  if (had_room && wants_segment()) { keep_wanted_.notify_one(); }
  sync_wanted_.notify_one();
  return true;
}

/// Makes current_ one that has room, if there is one.
bool Journal::pick_segment(std::size_t id_octets, std::size_t content_octets) {
  if (current_ && current_->file.fits(id_octets, content_octets)) { return true; }
  // A message that is too large for the small first segment must not use it up.
  if (free_.empty() || !free_.front()->file.fits(id_octets, content_octets)) {
    keep_wanted_.notify_one();
    return false;
  }
  seal_current();
  current_ = std::move(free_.front());
  free_.pop_front();
  keep_wanted_.notify_one();
  return true;
}

void Journal::seal_current() {
  if (current_) { sealed_.push_back(std::move(current_)); }
  current_.reset();
}

Result<> Journal::withdraw(const Instance& instance) {
  SP_TRY(withdrawn_.append({CompletionKind::removed, instance}));
  return withdrawn_.sync();
}

// --- syncing --------------------------------------------------------------------------------------------------------

void Journal::sync_loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    sync_wanted_.wait(lock, [&] { return !dirty_.empty() || closed_; });
    if (dirty_.empty()) { return; }
    const SegmentPtr segment = std::move(dirty_.front());
    dirty_.pop_front();
    // All that was appended until now shares this sync; what comes later begins on a page that this sync does not
    // write (invariant 3).
    auto group = std::make_shared<std::vector<Done>>(std::exchange(segment->waiting, {}));
    segment->file.begin_group();
    segment->syncing = true;
    const bool trusted = !segment->failed;
    lock.unlock();
    work_pace::join_in();
    Result<> synced;
    if (!trusted) {
      synced = failure("journal segment failed before", std::errc::io_error);
    } else if (options_.data_sync(segment->file.fd()) != 0) {
      synced = errno_failure("fdatasync " + segment->file.name());
      warn("journal: " + synced.error().message() + "; going on without it");
    }
    lock.lock();
    segment->syncing = false;
    ++figures_.syncs;
    if (!synced) {
      // The kernel may call those pages clean now although they are not on the disk: never ask it again.
      segment->failed = true;
      disabled_ = true;
      keep_wanted_.notify_one();
    }
    sync_ended_.notify_all();
    lock.unlock();
    options_.post([group, synced] {
      for (const Done& done : *group) { done(synced); }
    });
    group.reset();
    lock.lock();
  }
}

// --- keeping segments -----------------------------------------------------------------------------------------------

bool Journal::in_use() const {
  const auto holds = [](const SegmentPtr& segment) { return !segment->abandoned && !segment->file.empty(); };
  return (current_ && holds(current_)) || std::ranges::any_of(sealed_, holds);
}

/// One more segment is made before the current one is full, but not for a process that gets a message a minute.
bool Journal::wants_segment() const {
  if (disabled_ || closing_ || !free_.empty() || figures_.segments >= options_.segments_limit) { return false; }
  return !current_ || current_->file.used() > current_->file.octets() / 4;
}

void Journal::make_segment(std::unique_lock<std::mutex>& lock) {
  const auto& sizes = options_.segment_octets;
  const std::uint64_t octets = sizes[std::min(made_, sizes.size() - 1)];
  lock.unlock();
  auto made = has_room_for(path_, octets) ? SegmentFile::create(path_, octets, options_.boot_id)
                                          : failure("the file system is too full", std::errc::no_space_on_device);
  lock.lock();
  if (!made) {
    // Once: nothing is wrong with the mail, it is only slower.
    if (!std::exchange(warned_, true)) { warn("journal: cannot make a segment: " + made.error().message()); }
    retry_at_ = Clock::now() + options_.retry;
    return;
  }
  warned_ = false;
  ++made_;
  ++figures_.segments;
  auto segment = std::make_shared<Segment>(*std::move(made));
  if (current_) {
    free_.push_back(std::move(segment));
  } else {
    current_ = std::move(segment);
  }
}

void Journal::keep_loop() {
  work_pace::stay_behind();
  std::unique_lock lock(mutex_);
  for (;;) {
    if (closing_) { break; }
    if (wants_segment() && Clock::now() >= retry_at_) {
      make_segment(lock);
      continue;
    }
    if (in_use()) {
      read_completions(lock);
      empty_segments(lock, false);
      // A busy process has several full segments at a time: they are wanted back sooner.
      const auto pause = sealed_.size() > 1 ? options_.interval / 5 : options_.interval;
      if (!closing_) {
        keep_wanted_.wait_for(lock, pause, [&] { return closing_ || wants_segment(); });
      }
    } else if (wants_segment()) {
      keep_wanted_.wait_until(lock, retry_at_);
    } else {
      keep_wanted_.wait(lock);
    }
  }
  // Everything is stored and removed; nobody appends any more.
  sync_ended_.wait(lock, [&] {
    return dirty_.empty() &&
           std::ranges::none_of(sealed_, &Segment::syncing, [](const SegmentPtr& s) -> Segment& { return *s; }) &&
           (!current_ || !current_->syncing);
  });
  seal_current();
  for (auto& segment : free_) { sealed_.push_back(std::move(segment)); }
  free_.clear();
  if (in_use()) { read_completions(lock); }
  empty_segments(lock, true);
}

void Journal::read_completions(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  std::vector<std::string> keys;
  const auto read =
      completions_.poll([&](const Completion& completion) { keys.push_back(key_of(completion.instance)); });
  // They decide that a segment is emptied, so they must not be lost before it is.
  auto synced = read && !keys.empty() ? completions_.sync() : Result<>{};
  if (!read || !synced) {
    warn("journal: " + (read ? synced : read).error().message());
    if (!synced) { keys.clear(); }
  }
  lock.lock();
  for (const auto& key : keys) {
    const auto found = open_.find(key);
    if (found == open_.end()) { continue; }
    if (const auto segment = found->second.lock()) { segment->open.erase(key); }
    open_.erase(found);
  }
}

void Journal::empty_segments(std::unique_lock<std::mutex>& lock, bool closing) {
  const auto now = Clock::now();
  if (current_ && !current_->file.empty() && (current_->failed || now - current_->first_record >= options_.age_limit)) {
    seal_current();
    if (!free_.empty()) {
      current_ = std::move(free_.front());
      free_.pop_front();
    }
  }
  const auto usable = [](const SegmentPtr& segment) {
    return !segment->abandoned && !segment->syncing && segment->waiting.empty();
  };
  const auto candidates = sealed_;
  // What is to be stored now: everything at the end; otherwise what is old, failed or in the way, oldest first.
  std::size_t room = options_.segments_limit - figures_.segments + free_.size();
  std::vector<SegmentPtr> chosen;
  std::vector<Instance> left;
  for (const auto& segment : candidates) {
    if (!usable(segment)) { continue; }
    const bool store_now =
        closing || segment->failed || room < kReserve || now - segment->first_record >= options_.age_limit;
    if (!segment->open.empty() && !store_now) { continue; }
    chosen.push_back(segment);
    ++room;
    for (const auto& [key, instance] : segment->open) { left.push_back(instance); }
  }
  if (!left.empty()) {
    lock.unlock();
    const auto stored = store(left);
    if (!stored) { warn("journal: " + stored.error().message() + "; what it holds is kept"); }
    lock.lock();
    for (const auto& segment : chosen) {
      if (!stored && !segment->open.empty()) {
        // Trying again would ask about pages that the kernel may have given up. Recovery compares and rewrites.
        segment->abandoned = true;
        continue;
      }
      for (const auto& [key, instance] : segment->open) { open_.erase(key); }
      segment->open.clear();
    }
  }
  for (const auto& segment : chosen) {
    if (!segment->abandoned) { empty(lock, segment, closing || segment->failed); }
  }
}

void Journal::empty(std::unique_lock<std::mutex>& lock, const SegmentPtr& segment, bool remove) {
  lock.unlock();
  const auto done = remove ? segment->file.remove() : segment->file.reset();
  lock.lock();
  if (!done) {
    warn("journal: " + done.error().message());
    segment->abandoned = true;
    return;
  }
  std::erase(sealed_, segment);
  ++figures_.emptied;
  if (remove) {
    --figures_.segments;
  } else if (!current_) {
    current_ = segment;
  } else {
    free_.push_back(segment);
  }
}

/// Puts the files of these messages on stable storage, wherever they are.
Result<> Journal::store(const std::vector<Instance>& instances) {
  bool all = instances.size() > options_.files_limit || !file_sync_covers_name(queue_fd_.get());
  for (std::size_t i = 0; i < instances.size() && !all; ++i) {
    Result<> status;
    // Not found: it is being moved, or its completion is not written yet. syncfs need not find it.
    if (!store_one(instances[i], status)) { all = true; }
    if (!status) { return status; }
  }
  if (!all) { return {}; }
  const int failed = options_.all_sync(queue_fd_.get());
  const auto error = errno;
  const std::scoped_lock lock(mutex_);
  ++figures_.all_synced;
  if (failed != 0) { return errno_failure(error, "syncfs"); }
  return {};
}

bool Journal::store_one(const Instance& instance, Result<>& status) {
  for (const QueueName place : kPlaces) {
    const auto fd = sys::open(directory_.path(place, instance.id), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!fd) { continue; }
    if (options_.file_sync(fd->get()) != 0) {
      status = errno_failure("fsync " + directory_.path(place, instance.id));
      return true;
    }
    const std::scoped_lock lock(mutex_);
    ++figures_.files_synced;
    return true;
  }
  return false;
}

void Journal::close() {
  {
    const std::scoped_lock lock(mutex_);
    if (closing_) { return; }
    closing_ = true;
    keep_wanted_.notify_all();
  }
  keep_thread_.join();
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    sync_wanted_.notify_all();
  }
  sync_thread_.join();
  // Nothing is left that what was withdrawn could be recovered from.
  if (figures_.segments == 0) {
    withdrawn_.discard();
  } else {
    withdrawn_.close();
  }
}

Journal::Figures Journal::figures() const {
  const std::scoped_lock lock(mutex_);
  Figures figures = figures_;
  figures.records = open_.size();
  return figures;
}

}  // namespace stagepost::queue::journal
