#include "delivery/mailbox_lock.hpp"

#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/file.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace stagepost::delivery {

Result<std::set<LockStyle>> parse_lock_styles(std::string_view list, std::string_view parameter) {
  std::set<LockStyle> styles;
  for (const std::string_view word : text::split(list, ", \t\r\n")) {
    if (word == "flock") {
      styles.insert(LockStyle::flock);
    } else if (word == "fcntl") {
      styles.insert(LockStyle::fcntl);
    } else if (word == "dotlock") {
      styles.insert(LockStyle::dotlock);
    } else {
      return failure(fmt::format("unknown {} value \"{}\" in \"{}\"", parameter, word, list));
    }
  }
  return styles;
}

Result<DotLock> DotLock::acquire(const std::string& mailbox, const LockPolicy& policy) {
  const std::string path = mailbox + ".lock";
  for (unsigned attempt = 0;; ++attempt) {
    const auto file = sys::open(path, O_WRONLY | O_CREAT | O_EXCL, 0);
    if (file) { return DotLock(path); }
    if (!file.error().is(std::errc::file_exists)) {
      return std::unexpected(Error{file.error().code, "unable to create lock file " + path});
    }
    // The time of the last status change cannot be set by a user, unlike that of the last modification.
    const auto st = sys::lstat(path);
    if (st && std::time(nullptr) - st->st_ctime > policy.stale_lock_time.count() && sys::unlink(path)) { continue; }
    if (attempt + 1 >= policy.attempts) {
      return failure("unable to create lock file " + path, std::errc::resource_unavailable_try_again);
    }
    std::this_thread::sleep_for(policy.delay);
  }
}

DotLock::DotLock(DotLock&& other) noexcept : path_(std::exchange(other.path_, {})) {}

DotLock::~DotLock() {
  if (!path_.empty()) { ::unlink(path_.c_str()); }
}

Result<> lock_mailbox(int fd, const std::string& path, const LockPolicy& policy) {
  for (unsigned attempt = 0;; ++attempt) {
    bool locked = true;
    bool has_flock = false;
    if (policy.styles.contains(LockStyle::flock)) {
      has_flock = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
      locked = has_flock;
    }
    if (locked && policy.styles.contains(LockStyle::fcntl)) {
      struct flock whole{};
      whole.l_type = F_WRLCK;
      whole.l_whence = SEEK_SET;
      locked = ::fcntl(fd, F_SETLK, &whole) == 0;
    }
    if (locked) { return {}; }
    if (has_flock) { ::flock(fd, LOCK_UN); }  // hold nothing while waiting for the rest
    if (attempt + 1 >= policy.attempts) {
      return failure("unable to lock for exclusive access: " + path, std::errc::resource_unavailable_try_again);
    }
    std::this_thread::sleep_for(policy.delay);
  }
}

}  // namespace stagepost::delivery
