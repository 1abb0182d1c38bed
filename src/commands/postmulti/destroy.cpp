// The end of an instance: is it idle, and which of its files are ours to remove. Nothing is removed by walking into
// directories of unknown depth: only names that the mail system gives.
#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "commands/postmulti/lifecycle.hpp"
#include "master/lock_file.hpp"
#include "queue/directory.hpp"
#include "queue/hashing_settings.hpp"
#include "queue/nursery.hpp"

namespace stagepost::postmulti {
namespace {

using queue::QueueName;

constexpr std::array kMessageQueues{QueueName::maildrop, QueueName::incoming, QueueName::active, QueueName::deferred,
                                    QueueName::hold};
/// Directories of the queue whose files hold nothing of value once there are no messages.
constexpr std::array kPlainDirectories{"private", "public", "pid", "journal", "bounce", "defer", "trace", "flush"};
constexpr std::array kMessageDirectories{"maildrop", "incoming", "active", "deferred", "hold", "corrupt", "saved"};
constexpr unsigned kMaxDepth = queue::kMaxHashDepth;

/// Removes an empty directory; true also when there is none.
bool remove_directory(const std::string& path, const Warn& warn) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) { return true; }
  warn(fmt::format("{}: please verify contents and remove by hand", path));
  return false;
}

/// Removes hash directories (names of one character) and, with `files`, everything that is not a directory.
void clean(const std::string& path, bool files, unsigned depth) {
  const auto names = sys::list_directory(path);
  if (!names) { return; }
  for (const std::string& name : *names) {
    const std::string child = path + "/" + name;
    const auto status = sys::lstat(child);
    if (!status) { continue; }
    if (!S_ISDIR(status->st_mode)) {
      if (files) { static_cast<void>(sys::unlink(child)); }
    } else if (name.size() == 1 && depth < kMaxDepth) {
      clean(child, files, depth + 1);
      static_cast<void>(::rmdir(child.c_str()));
    }
  }
}

/// What is there was never accepted.
void clean_nursery(const std::string& path) {
  clean(path, true, 0U);
  static_cast<void>(::rmdir(path.c_str()));
}

/// Tables and state that daemons keep in data_directory: by the names their parameters have by default.
bool is_daemon_data(std::string_view name) {
  for (const char* suffix : {".lmdb", ".db", ".dir", ".pag", ".lmdb-lock", ""}) {
    for (const char* stem : {"master.lock", "prng_exch", "smtpd_scache", "smtp_scache", "lmtp_scache", "verify_cache",
                             "postscreen_cache", "tls_session_keys"}) {
      if (name == fmt::format("{}{}", stem, suffix)) { return true; }
    }
  }
  return false;
}

}  // namespace

Result<> require_idle(const Instance& instance, const config::Snapshot& config) {
  SP_TRY(const bool running, master::is_locked(instance.queue_directory + "/pid/master.pid"));
  if (running) { return failure(fmt::format("Instance '{}' is not stopped", instance.config_directory)); }
  const queue::QueueDirectory directory(instance.queue_directory, queue::hashing(config));
  for (const QueueName name : kMessageQueues) {
    if (!sys::stat(directory.path(name))) { continue; }
    queue::QueueScan scan(directory, name);
    for (;;) {
      SP_TRY(const auto entry, scan.next());
      if (!entry) { break; }
      const auto status = sys::lstat(entry->path);
      if (status && S_ISREG(status->st_mode) && (status->st_mode & S_IXUSR) != 0) {
        return failure(
            fmt::format("Instance '{}' has messages in its {} queue", instance.config_directory, to_string(name)));
      }
    }
  }
  // Left by a crash: mail that was accepted and may be nowhere else. "postsuper -s" puts it into the queue.
  if (const auto names = sys::list_directory(instance.queue_directory + "/journal")) {
    for (const std::string& name : *names) {
      if (name.starts_with("segment.")) {
        return failure(fmt::format("Instance '{}' has messages in its journal", instance.config_directory));
      }
    }
  }
  return {};
}

Result<> remove_files(const Instance& instance, const config::Snapshot& config, const Warn& warn) {
  const std::string& data = instance.data_directory;
  if (const auto names = sys::list_directory(data)) {
    for (const std::string& name : *names) {
      if (is_daemon_data(name)) { static_cast<void>(sys::unlink(data + "/" + name)); }
    }
  }
  static_cast<void>(remove_directory(data, warn));
  for (const std::string& name : queue::Nursery(instance.queue_directory).directories()) { clean_nursery(name); }
  static_cast<void>(::rmdir(fmt::format("{}/{}", instance.queue_directory, queue::kNurseryDirectory).c_str()));
  for (const char* name : kPlainDirectories) {
    clean(instance.queue_directory + "/" + name, true, 0U);
    static_cast<void>(remove_directory(instance.queue_directory + "/" + name, warn));
  }
  for (const char* name : kMessageDirectories) {
    clean(instance.queue_directory + "/" + name, false, 0U);
    static_cast<void>(remove_directory(instance.queue_directory + "/" + name, warn));
  }
  static_cast<void>(remove_directory(instance.queue_directory, warn));
  for (const char* name : {"/main.cf", "/master.cf"}) {
    const auto removed = sys::unlink(config.config_directory() + name);
    if (!removed && !removed.error().is(std::errc::no_such_file_or_directory)) { return removed; }
  }
  static_cast<void>(remove_directory(config.config_directory(), warn));
  return {};
}

}  // namespace stagepost::postmulti
