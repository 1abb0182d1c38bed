#include "base/sys.hpp"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/file.h>
#include <unistd.h>

namespace stagepost {

void unique_fd::reset(int fd) noexcept {
  if (fd_ >= 0) { ::close(fd_); }
  fd_ = fd;
}

namespace sys {
namespace {

template <class Call>
auto retry(Call call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) { return result; }
  }
}

Result<> check(int result, std::string_view what, const std::string& path) {
  if (result < 0) { return errno_failure(std::string(what) + " " + path); }
  return {};
}

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) { return "."; }
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<unique_fd> open(const std::string& path, int flags, mode_t mode) { return openat(AT_FDCWD, path, flags, mode); }

Result<unique_fd> openat(int directory_fd, const std::string& path, int flags, mode_t mode) {
  const int fd = retry([&] { return ::openat(directory_fd, path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) { return errno_failure("open " + path); }
  return unique_fd(fd);
}

Result<unique_fd> open_to_read(const std::string& path, int flags) {
  auto fd = open(path, flags | O_RDONLY | O_NOATIME);
  if (!fd && fd.error().is(std::errc::operation_not_permitted)) { return open(path, flags | O_RDONLY); }
  return fd;
}

Result<std::size_t> read(int fd, std::span<char> buffer) {
  const auto n = retry([&] { return ::read(fd, buffer.data(), buffer.size()); });
  if (n < 0) { return errno_failure("read"); }
  return static_cast<std::size_t>(n);
}

Result<std::size_t> pread(int fd, std::span<char> buffer, off_t offset) {
  const auto n = retry([&] { return ::pread(fd, buffer.data(), buffer.size(), offset); });
  if (n < 0) { return errno_failure("pread"); }
  return static_cast<std::size_t>(n);
}

Result<> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = retry([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (n < 0) { return errno_failure("write"); }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> pwrite_all(int fd, std::string_view bytes, off_t offset) {
  while (!bytes.empty()) {
    const auto n = retry([&] { return ::pwrite(fd, bytes.data(), bytes.size(), offset); });
    if (n < 0) { return errno_failure("pwrite"); }
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += n;
  }
  return {};
}

Result<> fsync(int fd) {
  return check(retry([&] { return ::fsync(fd); }), "fsync", "");
}
Result<> fchmod(int fd, mode_t mode) { return check(::fchmod(fd, mode), "fchmod", ""); }

Result<struct stat> fstat(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) < 0) { return errno_failure("fstat"); }
  return st;
}

Result<struct stat> stat(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) < 0) { return errno_failure("stat " + path); }
  return st;
}

Result<struct stat> lstat(const std::string& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) < 0) { return errno_failure("lstat " + path); }
  return st;
}

Result<> rename(const std::string& from, const std::string& to) {
  return check(::rename(from.c_str(), to.c_str()), "rename " + from + " to", to);
}
Result<> unlink(const std::string& path) { return check(::unlink(path.c_str()), "unlink", path); }
Result<> mkdir(const std::string& path, mode_t mode) { return check(::mkdir(path.c_str(), mode), "mkdir", path); }

Result<> make_directories(const std::string& path, mode_t mode) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string prefix = path.substr(0, slash);
    if (::mkdir(prefix.c_str(), mode) < 0 && errno != EEXIST) { return errno_failure("mkdir " + prefix); }
    if (slash == std::string::npos) { return {}; }
  }
}

Result<std::string> read_file(const std::string& path, std::size_t limit_bytes) {
  SP_TRY(unique_fd fd, sys::open(path, O_RDONLY));
  std::string content;
  char buffer[65536];
  for (;;) {
    SP_TRY(const std::size_t n, sys::read(fd.get(), buffer));
    if (n == 0) { return content; }
    if (content.size() + n > limit_bytes) { return failure("read " + path, std::errc::file_too_large); }
    content.append(buffer, n);
  }
}

Result<> replace_file(const std::string& path, std::string_view content, mode_t mode) {
  const std::string temporary = path + ".tmp";
  {
    SP_TRY(unique_fd fd, sys::open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
    SP_TRY(sys::fchmod(fd.get(), mode));
    SP_TRY(sys::write_all(fd.get(), content));
    SP_TRY(sys::fsync(fd.get()));
  }
  SP_TRY(sys::rename(temporary, path));
  SP_TRY(unique_fd directory, sys::open(directory_of(path), O_RDONLY | O_DIRECTORY));
  return sys::fsync(directory.get());
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) { return errno_failure("opendir " + path); }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) { return errno_failure("readdir " + path); }
      return names;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") { names.emplace_back(name); }
  }
}

Result<> set_nonblocking(int fd, bool nonblocking) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) { return errno_failure("fcntl"); }
  return check(::fcntl(fd, F_SETFL, nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), "fcntl", "");
}

Result<> lock_exclusive(int fd, LockWait wait) {
  return check(retry([&] { return ::flock(fd, LOCK_EX | (wait == LockWait::yes ? 0 : LOCK_NB)); }), "flock", "");
}

}  // namespace sys
}  // namespace stagepost
