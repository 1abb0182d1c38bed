#include "services/flush/site_log.hpp"

#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_set>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "queue/lock.hpp"

namespace stagepost::flush {
namespace {

using queue::QueueName;

/// IDs remembered to leave out repetitions. Beyond it a repetition costs a rename that fails.
constexpr std::size_t kRemembered = 10000;

bool is_missing(const Error& error) { return error.is(std::errc::no_such_file_or_directory); }

/// The locked log. Whoever removes it does so under the lock, so a file without name is opened again.
Result<unique_fd> open_locked(const std::string& path, int flags) {
  constexpr int kTries = 3;
  for (int i = 0; i < kTries; ++i) {
    SP_TRY(auto fd, sys::open(path, flags | O_NOFOLLOW, 0600));
    SP_TRY(queue::try_lock(fd.get()));
    SP_TRY(const struct stat st, sys::fstat(fd.get()));
    if (!S_ISREG(st.st_mode)) { return failure(path + ": not a regular file"); }
    if (st.st_nlink > 0) { return fd; }
  }
  return failure(path + ": removed again and again", std::errc::resource_unavailable_try_again);
}

class IdReader {
 public:
  explicit IdReader(int fd) : fd_(fd) {}
  /// nullopt at the end. Lines that are no queue IDs are skipped.
  Result<std::optional<queue::QueueId>> next() {
    for (;;) {
      if (position_ == size_) {
        SP_TRY(size_, sys::read(fd_, buffer_));
        position_ = 0;
        if (size_ == 0) { return std::nullopt; }
      }
      const char c = buffer_[position_++];
      if (c != '\n') {
        if (line_.size() <= queue::QueueId::kMaxOctets) { line_ += c; }
        continue;
      }
      auto id = queue::QueueId::parse(line_);
      line_.clear();
      if (id) { return id; }
    }
  }

 private:
  int fd_;
  std::array<char, 16 * 1024> buffer_;
  std::size_t position_ = 0;
  std::size_t size_ = 0;
  std::string line_;
};

}  // namespace

std::optional<queue::QueueId> log_name(std::string_view site) {
  std::string name = text::to_lower(site);
  for (char& c : name) {
    if (!text::is_alnum(c)) { c = '_'; }
  }
  return queue::QueueId::parse(name);
}

Result<> add_to_log(const queue::QueueDirectory& directory, const queue::QueueId& log, const queue::QueueId& id) {
  const std::string path = directory.path(QueueName::flush, log);
  auto fd = open_locked(path, O_WRONLY | O_APPEND | O_CREAT);
  if (!fd && is_missing(fd.error())) {
    SP_TRY(directory.make_hash_path(QueueName::flush, log));
    fd = open_locked(path, O_WRONLY | O_APPEND | O_CREAT);
  }
  if (!fd) { return std::unexpected(fd.error()); }
  return sys::write_all(fd->get(), id.str() + "\n");
}

Result<> send_log(const queue::QueueDirectory& directory, const queue::QueueId& log,
                  const std::function<void(const queue::QueueId&)>& send) {
  const std::string path = directory.path(QueueName::flush, log);
  const auto fd = open_locked(path, O_RDWR);
  if (!fd) {
    if (is_missing(fd.error())) { return {}; }
    return std::unexpected(fd.error());
  }
  std::unordered_set<std::string> seen;
  IdReader reader(fd->get());
  for (;;) {
    SP_TRY(const auto id, reader.next());
    if (!id) { break; }
    if (!seen.insert(id->str()).second) { continue; }
    if (seen.size() > kRemembered) { seen.clear(); }
    send(*id);
  }
  // Last: a crash before it costs a repetition, not a forgotten message.
  if (::ftruncate(fd->get(), 0) != 0) { return errno_failure("truncate " + path); }
  // The access time says when the log was last sent; a mount option may keep reads from setting it.
  constexpr std::array<timespec, 2> kNow{timespec{.tv_sec = 0, .tv_nsec = UTIME_NOW},
                                         timespec{.tv_sec = 0, .tv_nsec = UTIME_NOW}};
  if (::futimens(fd->get(), kNow.data()) != 0) { return errno_failure("set times of " + path); }
  return {};
}

Result<Upkeep> upkeep(const queue::QueueDirectory& directory, const queue::QueueId& log, const UpkeepLimits& limits,
                      std::chrono::system_clock::time_point now) {
  SP_TRY(const struct stat st, sys::lstat(directory.path(QueueName::flush, log)));
  using Clock = std::chrono::system_clock;
  if (st.st_size > 0) {
    return Clock::from_time_t(st.st_atime) + limits.refresh_time <= now ? Upkeep::send : Upkeep::keep;
  }
  return Clock::from_time_t(st.st_mtime) + limits.purge_time <= now ? Upkeep::remove : Upkeep::keep;
}

Result<> remove_empty_log(const queue::QueueDirectory& directory, const queue::QueueId& log) {
  const std::string path = directory.path(QueueName::flush, log);
  SP_TRY(const auto fd, open_locked(path, O_WRONLY));
  SP_TRY(const struct stat st, sys::fstat(fd.get()));
  if (st.st_size > 0) { return {}; }
  return sys::unlink(path);
}

Result<bool> release(const queue::QueueDirectory& directory, const queue::QueueId& id) {
  // The times of a deferred file say when it is due; now it is.
  const std::string path = directory.path(QueueName::deferred, id);
  if (::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) { return false; }
    return errno_failure("set times of " + path);
  }
  // qmgr starts a new defer log for what it finds in deferred, not for what it finds in incoming.
  const auto dropped = directory.remove(QueueName::defer, id);
  if (!dropped && !is_missing(dropped.error())) { return std::unexpected(dropped.error()); }
  const auto moved = directory.move(id, QueueName::deferred, QueueName::incoming);
  if (moved) { return true; }
  if (is_missing(moved.error())) { return false; }
  return std::unexpected(moved.error());
}

}  // namespace stagepost::flush
