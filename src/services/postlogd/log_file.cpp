#include "services/postlogd/log_file.hpp"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "config/log_settings.hpp"
#include "log/log.hpp"

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

void append_lines(std::string& lines, std::string_view datagram) {
  if (datagram.starts_with(log::kBatchMark)) {
    datagram.remove_prefix(1);
    while (!datagram.empty()) {
      const std::size_t end = std::min(datagram.find('\n'), datagram.size());
      append_line(lines, datagram.substr(0, end));
      datagram.remove_prefix(std::min(end + 1, datagram.size()));
    }
    return;
  }
  append_line(lines, datagram);
}

void append_line(std::string& lines, std::string_view datagram) {
  while (datagram.ends_with('\n') || datagram.ends_with('\0')) { datagram.remove_suffix(1); }
  lines += LogText(PeerBytes(datagram), 60'000).str();
  lines += '\n';
}

}  // namespace stagepost::postlogd
