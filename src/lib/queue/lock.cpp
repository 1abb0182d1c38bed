#include "queue/lock.hpp"

#include <cerrno>
#include <sys/file.h>

namespace stagepost::queue {
namespace {

Result<> lock(int fd, int operation) {
  while (::flock(fd, operation) != 0) {
    if (errno != EINTR) { return errno_failure("flock"); }
  }
  return {};
}

}  // namespace

Result<> try_lock(int fd) { return lock(fd, LOCK_EX | LOCK_NB); }
Result<> try_lock_shared(int fd) { return lock(fd, LOCK_SH | LOCK_NB); }
Result<> unlock(int fd) { return lock(fd, LOCK_UN); }

}  // namespace stagepost::queue
