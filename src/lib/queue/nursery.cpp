#include "queue/nursery.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"

namespace stagepost::queue {

Nursery::Nursery(const std::string& root) : turn_(static_cast<std::size_t>(::getpid()) % kDirectories) {
  directories_.reserve(kDirectories);
  for (unsigned i = 0; i < kDirectories; ++i) {
    directories_.push_back(fmt::format("{}/{}/{:02x}", root, kNurseryDirectory, i));
  }
}

const std::string& Nursery::next() {
  turn_ = (turn_ + 1) % kDirectories;
  return directories_[turn_];
}

void spread_subdirectories(const std::string& directory) {
  const auto fd = sys::open(directory, O_RDONLY | O_DIRECTORY);
  int flags = 0;
  if (fd && ::ioctl(fd->get(), FS_IOC_GETFLAGS, &flags) == 0) {
    flags |= FS_TOPDIR_FL;
    static_cast<void>(::ioctl(fd->get(), FS_IOC_SETFLAGS, &flags));  // A hint: without it nothing is wrong.
  }
}

}  // namespace stagepost::queue
