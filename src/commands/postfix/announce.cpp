// See the header.
#include "commands/postfix/announce.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/sys.hpp"
#include "config/log_settings.hpp"

namespace stagepost::postfix {

Announcer::Announcer(const config::Snapshot& config)
    : Announcer(config, config.text("syslog_name") + "/postfix-script") {}

Announcer::Announcer(const config::Snapshot& config, std::string name)
    : name_(std::move(name)), maillog_file_(config.text("maillog_file")) {
  if (!maillog_file_.empty() && !config::log_file_allowed(maillog_file_, config.list("maillog_file_prefixes"))) {
    maillog_file_.clear();
  }
  log::Settings settings = config::log_settings(config, "postfix-script", false);
  settings.program_name = name_;
  if (maillog_file_.empty()) { settings.destination = log::Destination::syslog; }
  postlog_socket_ = settings.postlog_socket;
  host_ = settings.host;
  log::open(settings);
}

bool Announcer::postlogd_listens() const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (postlog_socket_.size() >= sizeof address.sun_path) { return false; }
  postlog_socket_.copy(address.sun_path, postlog_socket_.size());
  const unique_fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

void Announcer::append(std::string_view labelled_text) const {
  const std::string line = log::file_line(host_, name_, ::getpid(), labelled_text) + "\n";
  if (maillog_file_ == "/dev/stdout") {
    static_cast<void>(sys::write_all(1, line));
    return;
  }
  const auto file = sys::open(maillog_file_, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0644);
  const auto written = file ? sys::write_all(file->get(), line) : Result<>(std::unexpected(file.error()));
  if (!written) { fmt::print(stderr, "{}: warning: {}\n", name_, written.error().message()); }
}

void Announcer::say(log::Level level, std::string_view text) const {
  const std::string labelled = log::labelled(level, text);
  fmt::print(stderr, "{}: {}\n", name_, labelled);
  if (!maillog_file_.empty() && !postlogd_listens()) {
    append(labelled);
  } else {
    log::write(level, text);
  }
}

}  // namespace stagepost::postfix
