#include "delivery/mailbox_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "delivery/mailbox_lock.hpp"
#include "log/log.hpp"

namespace stagepost::delivery {
namespace {

Result<> append(const unique_fd& file, queue::MessageReader& reader, const queue::Envelope& envelope,
                const CopyOptions& options, std::uint64_t limit) {
  SP_TRY(const auto before, sys::fstat(file.get()));
  const auto size = static_cast<std::uint64_t>(before.st_size);
  if (limit > 0 && size >= limit) { return errno_failure(EFBIG, "error writing message"); }
  FdTarget target(file.get(), limit > 0 ? limit - size : 0);
  auto written = copy_content(reader, envelope, options, target);
  if (written) { written = sys::fsync(file.get()); }
  // A half message would run into the next one: the mailbox gets its old length back.
  if (!written && ::ftruncate(file.get(), before.st_size) != 0) {
    return std::unexpected(std::move(written.error()).within("mailbox could not be restored"));
  }
  return written;
}

/// True for what is there and no regular file.
bool is_special(const std::string& path) {
  const auto st = sys::lstat(path);
  return st && !S_ISREG(st->st_mode);
}

}  // namespace

Result<> deliver_to_mailbox(const std::string& path, const Identity& identity, queue::MessageReader& reader,
                            const queue::Envelope& envelope, const CopyOptions& options, const MailboxLimits& limits,
                            const LockPolicy& locks, const MailboxRules& rules) {
  // Destroyed in reverse order: a lock of the recipient's is removed with the recipient's rights, one of root's with
  // root's.
  std::optional<DotLock> root_lock;
  std::optional<ActAs> acting;
  std::optional<DotLock> own_lock;
  const auto become_recipient = [&]() -> Result<> {
    SP_TRY(auto switched, ActAs::begin(identity));
    acting.emplace(std::move(switched));
    return {};
  };
  const auto root_may_help = [&](const Error& error) {
    return rules.system_spool && error.is(std::errc::permission_denied) && ::geteuid() != 0;
  };
  SP_TRY(become_recipient());
  if (locks.styles.contains(LockStyle::dotlock) && !(rules.any_file && is_special(path))) {
    auto lock = DotLock::acquire(path, locks);
    if (lock) {
      own_lock.emplace(std::move(*lock));
    } else if (root_may_help(lock.error())) {
      acting.reset();
      SP_TRY(auto made, DotLock::acquire(path, locks));
      root_lock.emplace(std::move(made));
      SP_TRY(become_recipient());
    } else if (rules.any_file && !lock.error().is(std::errc::resource_unavailable_try_again)) {
      log::warning("{}", lock.error().message());
    } else {
      return std::unexpected(lock.error());
    }
  }
  // O_NONBLOCK: a FIFO without a reader must not hold us.
  constexpr int kFlags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK;
  auto file = sys::open(path, kFlags | O_CREAT, 0600);
  if (!file && root_may_help(file.error())) {
    // Root makes the file for its owner, but never follows or takes over what is there.
    acting.reset();
    const auto made = sys::open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (made && ::fchown(made->get(), identity.uid, identity.gid) != 0) { return errno_failure("chown " + path); }
    SP_TRY(become_recipient());
    file = sys::open(path, kFlags);
  }
  const auto not_owned = [&] {
    return failure("destination " + path + " is not owned by recipient", std::errc::operation_not_permitted);
  };
  if (!file && rules.own_file && file.error().is(std::errc::permission_denied)) {
    const auto there = sys::lstat(path);
    if (there && S_ISREG(there->st_mode) && there->st_uid != identity.uid) { return not_owned(); }
  }
  if (!file) { return std::unexpected(Error{file.error().code, "cannot open file"}); }
  SP_TRY(const auto st, sys::fstat(file->get()));
  if (rules.any_file && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
    FdTarget target(file->get(), limits.size_limit_bytes);
    return copy_content(reader, envelope, options, target);
  }
  if (!S_ISREG(st.st_mode)) { return failure("file is not a regular file", std::errc::not_supported); }
  if (st.st_nlink > 1) {
    return failure("file has " + std::to_string(st.st_nlink) + " hard links", std::errc::too_many_links);
  }
  if (rules.own_file && st.st_uid != identity.uid && ::getuid() == 0) { return not_owned(); }
  SP_TRY(lock_mailbox(file->get(), path, locks));
  return append(*file, reader, envelope, options, limits.size_limit_bytes);
}

}  // namespace stagepost::delivery
