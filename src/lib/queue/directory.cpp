#include "queue/directory.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "queue/error.hpp"
#include "queue/nursery.hpp"

namespace stagepost::queue {
namespace {

constexpr std::array<std::string_view, kAllQueues.size()> kNames{
    "maildrop", "incoming", "active", "deferred", "hold", "corrupt", "saved", "bounce", "defer", "trace", "flush"};

enum class DirectoryGroup { unchanged, setgid };
struct Subdirectory {
  std::string_view name;
  mode_t mode;
  bool mail_owner;  // Else root, or whoever creates it.
  DirectoryGroup group;
};

// As `postfix set-permissions` leaves them. journal is our own.
constexpr std::array kSubdirectories{
    Subdirectory{"active", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"bounce", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"corrupt", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"defer", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"deferred", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"flush", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"hold", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"incoming", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"journal", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"maildrop", 0730, true, DirectoryGroup::setgid},
    Subdirectory{"pid", 0755, false, DirectoryGroup::unchanged},
    Subdirectory{"private", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"public", 0710, true, DirectoryGroup::setgid},
    Subdirectory{"saved", 0700, true, DirectoryGroup::unchanged},
    Subdirectory{"trace", 0700, true, DirectoryGroup::unchanged},
};

/// An existing directory stays as it is.
Result<> create_directory(const std::string& name, mode_t mode, uid_t user, gid_t group) {
  const auto made = sys::mkdir(name, mode);
  if (!made) { return made.error().is(std::errc::file_exists) ? Result<>{} : made; }
  // The mode again, because mkdir obeys the umask.
  if (::chmod(name.c_str(), mode) != 0) { return errno_failure("chmod " + name); }
  if (::geteuid() == 0 && ::chown(name.c_str(), user, group) != 0) { return errno_failure("chown " + name); }
  return {};
}

bool is_hash_directory(std::string_view name) { return name.size() == 1 && name != "."; }

Result<bool> is_directory(const std::string& path, unsigned char type) {
  if (type != DT_UNKNOWN) { return type == DT_DIR; }
  const auto status = sys::lstat(path);
  if (!status) {
    // Gone meanwhile: whatever it was, there is nothing to enter.
    return status.error().is(std::errc::no_such_file_or_directory) ? Result<bool>(false)
                                                                   : Result<bool>(std::unexpected(status.error()));
  }
  return S_ISDIR(status->st_mode);
}

}  // namespace

std::string_view to_string(QueueName name) { return kNames.at(static_cast<std::size_t>(name)); }

std::optional<QueueName> queue_name(std::string_view text) {
  const auto found = std::ranges::find(kNames, text);
  if (found == kNames.end()) { return std::nullopt; }
  return kAllQueues.at(static_cast<std::size_t>(found - kNames.begin()));
}

bool holds_messages(QueueName name) {
  switch (name) {
    case QueueName::maildrop:
    case QueueName::incoming:
    case QueueName::active:
    case QueueName::deferred:
    case QueueName::hold:
    case QueueName::corrupt:
    case QueueName::saved:
      return true;
    case QueueName::bounce:
    case QueueName::defer:
    case QueueName::trace:
    case QueueName::flush:
      return false;
  }
  return false;
}

bool Hashing::applies_to(QueueName name) const { return std::ranges::find(names, to_string(name)) != names.end(); }

QueueDirectory::QueueDirectory(std::string root, Hashing hashing)
    : root_(std::move(root)), hashing_(std::move(hashing)) {
  hashing_.depth = std::clamp(hashing_.depth, 1U, kMaxHashDepth);
}

std::string QueueDirectory::path(QueueName queue) const {
  std::string out = root_;
  return out.append(1, '/').append(to_string(queue));
}

std::string QueueDirectory::path(QueueName queue, const QueueId& id) const {
  return path(queue) + '/' + hash_path(queue, id) + id.str();
}

std::string QueueDirectory::hash_path(QueueName queue, const QueueId& id) const {
  std::string out;
  if (hashing_.applies_to(queue)) {
    const std::string text = id.hash_text();
    for (std::size_t i = 0; i < hashing_.depth; ++i) {
      out.push_back(i < text.size() ? text[i] : '_');
      out.push_back('/');
    }
  }
  return out;
}

Result<> QueueDirectory::create_all(const Owners& owners) const {
  SP_TRY(sys::make_directories(root_, 0755));
  for (const auto& sub : kSubdirectories) {
    const uid_t user = sub.mail_owner ? owners.mail_owner : 0;
    const gid_t group = sub.group == DirectoryGroup::setgid ? owners.setgid_group : static_cast<gid_t>(-1);
    SP_TRY(create_directory(root_ + '/' + std::string(sub.name), sub.mode, user, group));
  }
  const std::string nursery = root_ + '/' + std::string(kNurseryDirectory);
  SP_TRY(create_directory(nursery, 0700, owners.mail_owner, static_cast<gid_t>(-1)));
  spread_subdirectories(nursery);
  for (const std::string& name : Nursery(root_).directories()) {
    SP_TRY(create_directory(name, 0700, owners.mail_owner, static_cast<gid_t>(-1)));
  }
  return {};
}

Result<> QueueDirectory::make_hash_path(QueueName queue, const QueueId& id) const {
  return sys::make_directories(path(queue) + '/' + hash_path(queue, id), 0700);
}

Result<> QueueDirectory::move(const QueueId& id, QueueName from, QueueName to) const { return move(id, from, id, to); }

Result<> QueueDirectory::move(const QueueId& id, QueueName from, const QueueId& new_id, QueueName to) const {
  const std::string source = path(from, id);
  const std::string target = path(to, new_id);
  const auto renamed = sys::rename(source, target);
  if (renamed || !hashing_.applies_to(to) || !renamed.error().is(std::errc::no_such_file_or_directory)) {
    return renamed;
  }
  SP_TRY(make_hash_path(to, new_id));
  return sys::rename(source, target);
}

Result<> QueueDirectory::remove(QueueName queue, const QueueId& id) const { return sys::unlink(path(queue, id)); }

Result<> QueueDirectory::remove_logs(const QueueId& id) const {
  for (const auto queue : {QueueName::defer, QueueName::bounce, QueueName::trace}) {
    const auto removed = remove(queue, id);
    if (!removed && !removed.error().is(std::errc::no_such_file_or_directory)) { return removed; }
  }
  return {};
}

Result<> QueueDirectory::sync(QueueName queue, const QueueId& id) const {
  SP_TRY(const auto directory, sys::open(path(queue) + '/' + hash_path(queue, id), O_RDONLY | O_DIRECTORY));
  return sys::fsync(directory.get());
}

QueueScan::QueueScan(const QueueDirectory& directory, QueueName queue, std::string hash_path)
    : top_(directory.path(queue)), start_(std::move(hash_path)) {}

Result<> QueueScan::enter(const std::string& hash_path) {
  const std::string name = hash_path.empty() ? top_ : top_ + '/' + hash_path;
  DIR* directory = ::opendir(name.c_str());
  if (directory == nullptr) {
    if (errno == ENOENT && !hash_path.empty()) {
      return {};  // Removed since its name was read.
    }
    return errno_failure("open directory " + name);
  }
  levels_.push_back(Level{std::unique_ptr<DIR, CloseDirectory>(directory), hash_path});
  return {};
}

QueueScan::Entry QueueScan::entry(const Seen& seen) const {
  Entry entry{.name = seen.name, .path = top_, .hash_path = std::string(seen.hash_path), .inode = seen.inode};
  entry.path.append(1, '/').append(seen.hash_path).append(entry.name);
  return entry;
}

Result<std::optional<QueueScan::Entry>> QueueScan::next() {
  SP_TRY(const auto seen, next_seen());
  if (!seen) { return std::nullopt; }
  return entry(*seen);
}

Result<std::optional<QueueScan::Seen>> QueueScan::next_seen() {
  if (!started_) {
    started_ = true;
    SP_TRY(enter(start_));
  }
  while (!levels_.empty()) {
    auto& level = levels_.back();
    errno = 0;
    const dirent* found = ::readdir(level.directory.get());
    if (found == nullptr) {
      if (errno != 0) { return errno_failure("read directory " + top_ + '/' + level.hash_path); }
      levels_.pop_back();
      continue;
    }
    if (found->d_name[0] == '.') { continue; }
    const Seen seen{.name = found->d_name,
                    .hash_path = level.hash_path,
                    .inode = found->d_ino,
                    .directory_fd = ::dirfd(level.directory.get())};
    if (found->d_type == DT_REG) { return seen; }
    SP_TRY(const bool directory, is_directory(entry(seen).path, found->d_type));
    if (!directory) { return seen; }
    const std::string below = level.hash_path + found->d_name + '/';
    // The levels above the start count as well.
    const auto depth = static_cast<std::size_t>(std::ranges::count(below, '/'));
    if (!is_hash_directory(found->d_name) || depth > kMaxHashDepth) { continue; }
    if (left_ != nullptr) {
      left_->push_back(below);
    } else {
      SP_TRY(enter(below));
    }
  }
  return std::nullopt;
}

}  // namespace stagepost::queue
