#include "queue/durability.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/vfs.h>

#include "base/sys.hpp"

namespace stagepost::queue {

// The journals of these file systems commit file and name together.
bool file_sync_covers_name(int fd) {
  constexpr long kExt4 = 0xEF53;
  constexpr long kXfs = 0x58465342;
  constexpr long kBtrfs = 0x9123683E;
  constexpr long kTmpfs = 0x01021994;
  struct statfs info{};
  if (::fstatfs(fd, &info) != 0) { return false; }
  const auto type = static_cast<long>(info.f_type);
  return type == kExt4 || type == kXfs || type == kBtrfs || type == kTmpfs;
}

namespace {

Result<> sync_directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  SP_TRY(const auto fd, sys::open(directory, O_RDONLY | O_DIRECTORY));
  return sys::fsync(fd.get());
}

}  // namespace

CommitJob::CommitJob(unique_fd fd, std::string path, mode_t incomplete_mode, mode_t complete_mode, Sync sync)
    : fd_(std::move(fd)),
      path_(std::move(path)),
      incomplete_mode_(incomplete_mode),
      complete_mode_(complete_mode),
      sync_(sync) {}

Result<> CommitJob::run() {
  Result<> done = sys::fchmod(fd_.get(), complete_mode_);
  if (done && sync_ == Sync::file_and_directory) {
    done = sys::fsync(fd_.get());
    if (done && !file_sync_covers_name(fd_.get())) { done = sync_directory_of(path_); }
  }
  if (!done) {
    // Best effort: the error that counts is the first one.
    static_cast<void>(sys::fchmod(fd_.get(), incomplete_mode_));
    return std::unexpected(std::move(done).error().within(path_));
  }
  fd_.reset();
  return {};
}

}  // namespace stagepost::queue
