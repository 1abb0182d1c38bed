// See the header.
#include "master/lock_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/sys.hpp"

namespace stagepost::master {

std::string lock_file_text(pid_t pid) { return fmt::format("{:>32}\n", pid); }

Result<unique_fd> take_lock(const std::string& path) {
  // No symbolic link is followed: data_directory belongs to mail_owner and we may be root.
  auto fd = sys::open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!fd) { return std::unexpected(std::move(fd).error().within("open lock file " + path)); }
  if (auto locked = sys::lock_exclusive(fd->get(), sys::LockWait::no); !locked) {
    return errno_failure(locked.error().code.value(),
                         fmt::format("open lock file {}: unable to set exclusive lock", path));
  }
  if (::ftruncate(fd->get(), 0) != 0) { return errno_failure("truncate lock file " + path); }
  SP_TRY(sys::pwrite_all(fd->get(), lock_file_text(::getpid()), 0));
  return fd;
}

Result<bool> is_locked(const std::string& path) {
  auto fd = sys::open(path, O_RDWR | O_NOFOLLOW);
  if (!fd && fd.error().is(std::errc::no_such_file_or_directory)) { return false; }
  if (!fd) { return std::unexpected(std::move(fd).error()); }
  const auto locked = sys::lock_exclusive(fd->get(), sys::LockWait::no);
  if (locked) { return false; }
  if (!locked.error().is(std::errc::resource_unavailable_try_again)) { return std::unexpected(locked.error()); }
  return true;
}

}  // namespace stagepost::master
