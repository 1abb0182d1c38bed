// See watched_file.hpp.
#include "maps/watched_file.hpp"

#include <array>
#include <fcntl.h>
#include <system_error>

#include <fmt/format.h>

#include "base/sys.hpp"

namespace stagepost::maps {
namespace {

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::int64_t>(time.tv_nsec);
}

}  // namespace

std::string unreadable_change(std::string_view table, const Error& reason) {
  const bool system = reason.code.category() == std::system_category();
  return fmt::format("{}: cannot read the changed table, using the old one: {}", table,
                     system ? reason.code.message() : reason.message());
}

WatchedFile::Identity WatchedFile::identity(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size_bytes = status.st_size,
          .modified_ns = nanoseconds(status.st_mtim),
          .status_changed_ns = nanoseconds(status.st_ctim)};
}

bool WatchedFile::written_recently(const Identity& id) const {
  const auto now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch());
  const std::int64_t age_ns = now.count() - id.modified_ns;
  return age_ns >= 0 && age_ns < std::chrono::nanoseconds(interval_).count();
}

void WatchedFile::remember(const Identity& id) {
  loaded_ = id;
  pending_.reset();
  read_again_ = written_recently(id);
  next_look_ = SteadyClock::now() + interval_;
}

Result<std::string> WatchedFile::load(std::size_t limit_bytes) {
  SP_TRY(unique_fd fd, sys::open(path_, O_RDONLY));
  SP_TRY(const struct stat before, sys::fstat(fd.get()));
  if (S_ISDIR(before.st_mode)) { return errno_failure(EISDIR, "read " + path_); }
  std::string content;
  content.reserve(static_cast<std::size_t>(before.st_size) + 1);
  std::array<char, 65536> buffer{};
  for (;;) {
    SP_TRY(const std::size_t count, sys::read(fd.get(), buffer));
    if (count == 0) { break; }
    if (content.size() + count > limit_bytes) { return failure("read " + path_, std::errc::file_too_large); }
    content.append(buffer.data(), count);
  }
  remember(identity(before));
  return content;
}

Result<> WatchedFile::note() {
  SP_TRY(const struct stat status, sys::stat(path_));
  remember(identity(status));
  return {};
}

bool WatchedFile::changed() {
  const auto now = SteadyClock::now();
  if (now < next_look_) { return false; }
  next_look_ = now + interval_;
  const auto status = sys::stat(path_);
  if (!status) { return false; }
  const Identity current = identity(*status);
  if (current == loaded_ && !read_again_) { return false; }
  const bool settled = !written_recently(current) || pending_ == current;
  pending_ = current;
  return settled;
}

}  // namespace stagepost::maps
