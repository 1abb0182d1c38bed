#include "services/postlogd/log_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "config/log_settings.hpp"

namespace stagepost::postlogd {

Result<unique_fd> open_log_file(const std::string& path, const std::vector<std::string>& prefixes) {
  if (!config::log_file_allowed(path, prefixes)) {
    return failure("maillog_file value \"" + path + "\" does not match any of maillog_file_prefixes",
                   std::errc::permission_denied);
  }
  if (path == "/dev/stdout") {
    unique_fd copy(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!copy) { return errno_failure("standard output"); }
    return copy;
  }
  return sys::open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
}

}  // namespace stagepost::postlogd
