// See file_replacement.hpp.
#include "maps/file_replacement.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "base/sys.hpp"

namespace stagepost::maps {
namespace {

constexpr std::chrono::seconds kWriterLockWait{600};

/// OFD locks work against the fcntl locks of Postfix, and are not lost when another descriptor of the same file is
/// closed in this process.
int lock_once(int fd, LockStyle style, bool exclusive) {
  if (style != LockStyle::fcntl) { return ::flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB); }
  struct flock request{};
  request.l_type = static_cast<short>(exclusive ? F_WRLCK : F_RDLCK);
  request.l_whence = SEEK_SET;
  return ::fcntl(fd, F_OFD_SETLK, &request);
}

}  // namespace

Result<> lock_file(int fd, LockStyle style, bool exclusive, std::chrono::milliseconds wait, std::string_view path) {
  if (lock_once(fd, style, exclusive) == 0) { return {}; }
  const auto give_up = std::chrono::steady_clock::now() + wait;
  for (;;) {
    if (lock_once(fd, style, exclusive) == 0) { return {}; }
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) { return errno_failure(fmt::format("lock {}", path)); }
    if (std::chrono::steady_clock::now() >= give_up) {
      return failure(fmt::format("lock {}: another process is writing it", path), std::errc::timed_out);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void unlock_file(int fd, LockStyle style) {
  if (style != LockStyle::fcntl) {
    (void)::flock(fd, LOCK_UN);
    return;
  }
  struct flock request{};
  request.l_type = F_UNLCK;
  request.l_whence = SEEK_SET;
  (void)::fcntl(fd, F_OFD_SETLK, &request);
}

Result<FileReplacement> FileReplacement::open(const std::string& path, const TableWriter::Options& options,
                                              LockStyle style) {
  FileReplacement file;
  // A symbolic link keeps pointing where it does: the file it names is the one that is replaced.
  if (char* real = ::realpath(path.c_str(), nullptr); real != nullptr) {
    file.path_ = real;
    ::free(real);
  } else {
    file.path_ = path;
  }
  file.working_path_ = file.path_;
  if (style == LockStyle::flock_new) {
    if (const auto status = sys::stat(file.path_)) { file.existing_ = *status; }
  } else {
    SP_TRY(file.lock_existing(style));
  }
  if (options.mode == TableWriter::Mode::update && file.existing_) { return file; }
  if (auto created = file.create_beside(options.file_mode, style); !created) {
    const bool forbidden =
        created.error().is(std::errc::permission_denied) || created.error().is(std::errc::operation_not_permitted);
    if (!forbidden || !file.existing_) { return std::unexpected(std::move(created).error()); }
    // We may write the file but not make one like it in this directory.
    if (std::exchange(file.temporary_, false)) { (void)::unlink(file.working_path_.c_str()); }
    file.working_path_ = file.path_;
  }
  return file;
}

FileReplacement::FileReplacement(FileReplacement&& other) noexcept
    : path_(std::move(other.path_)),
      working_path_(std::move(other.working_path_)),
      existing_(other.existing_),
      locked_file_(std::move(other.locked_file_)),
      temporary_(std::exchange(other.temporary_, false)) {}

FileReplacement::~FileReplacement() {
  if (temporary_) { (void)::unlink(working_path_.c_str()); }
}

Result<> FileReplacement::lock_existing(LockStyle style) {
  for (;;) {
    auto fd = sys::open(path_, O_RDWR);
    if (!fd) {
      if (fd.error().is(std::errc::no_such_file_or_directory)) { return {}; }
      return errno_failure(fd.error().code.value(), "open database " + path_);
    }
    SP_TRY(lock_file(fd->get(), style, true, kWriterLockWait, path_));
    // While we waited, the lock's holder may have put another file in this place.
    SP_TRY(const struct stat held, sys::fstat(fd->get()));
    const auto current = sys::stat(path_);
    if (current && current->st_ino == held.st_ino && current->st_dev == held.st_dev) {
      existing_ = held;
      locked_file_ = *std::move(fd);
      return {};
    }
  }
}

Result<unique_fd> FileReplacement::open_new(mode_t mode, LockStyle style) {
  if (style != LockStyle::flock_new) {
    working_path_ = fmt::format("{}.{}.tmp", path_, ::getpid());
    (void)::unlink(working_path_.c_str());
    return sys::open(working_path_, O_RDWR | O_CREAT | O_EXCL, mode);
  }
  working_path_ = path_ + ".tmp";
  for (;;) {
    SP_TRY(unique_fd fd, sys::open(working_path_, O_RDWR | O_CREAT | O_NOFOLLOW, mode));
    SP_TRY(lock_file(fd.get(), style, true, kWriterLockWait, working_path_));
    SP_TRY(const struct stat held, sys::fstat(fd.get()));
    const auto current = sys::lstat(working_path_);
    // Otherwise it became the table while we waited.
    if (!current || current->st_ino != held.st_ino || current->st_dev != held.st_dev) { continue; }
    if (::ftruncate(fd.get(), 0) != 0) { return errno_failure("truncate " + working_path_); }
    return fd;
  }
}

Result<> FileReplacement::create_beside(mode_t file_mode, LockStyle style) {
  const mode_t mode = existing_ ? existing_->st_mode & 0777U : file_mode;
  auto created = open_new(mode, style);
  if (!created) { return errno_failure(created.error().code.value(), "open database " + path_); }
  temporary_ = true;
  // The umask must not take permissions away that the source file grants.
  SP_TRY(sys::fchmod(created->get(), mode));
  if (existing_ && (existing_->st_uid != ::geteuid() || existing_->st_gid != ::getegid()) &&
      ::fchown(created->get(), existing_->st_uid, existing_->st_gid) != 0) {
    return errno_failure("change owner of " + working_path_);
  }
  if (style == LockStyle::flock_new) { locked_file_ = *std::move(created); }
  return {};
}

Result<> FileReplacement::commit() {
  if (temporary_) {
    SP_TRY(const unique_fd file, sys::open(working_path_, O_RDWR));
    SP_TRY(sys::fsync(file.get()));
    SP_TRY(sys::rename(working_path_, path_));
    temporary_ = false;
    std::string directory = path_;
    SP_TRY(const unique_fd parent, sys::open(::dirname(directory.data()), O_RDONLY | O_DIRECTORY));
    SP_TRY(sys::fsync(parent.get()));
  }
  locked_file_.reset();
  return {};
}

}  // namespace stagepost::maps
