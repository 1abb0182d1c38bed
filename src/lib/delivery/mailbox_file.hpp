// Delivery into a mailbox file (mbox format): locked, appended, synced, and cut back to its old length on failure.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "delivery/content_copy.hpp"
#include "delivery/identity.hpp"
#include "delivery/maildir.hpp"

namespace stagepost::delivery {

/// How the file is locked against other writers (parameters mailbox_delivery_lock, virtual_mailbox_lock).
enum class LockStyle { flock, fcntl, dotlock };
/// Unknown words are an error.
[[nodiscard]] Result<std::set<LockStyle>> parse_lock_styles(std::string_view list);

struct LockPolicy {
  std::set<LockStyle> styles{LockStyle::fcntl, LockStyle::dotlock};
  unsigned attempts = 20;                     ///< deliver_lock_attempts
  std::chrono::seconds delay{1};              ///< deliver_lock_delay
  std::chrono::seconds stale_lock_time{500};  ///< stale_lock_time
};

struct MailboxRules {
  /// Character devices and FIFOs too, without a lock (aliases(5): "/dev/null"); a dot lock that cannot be made is only
  /// warned about.
  bool any_file = false;
  /// The directory is the system's (mail_spool_directory): where the recipient may not make the mailbox or its lock
  /// file, root does. Never for a path that a user has a say in.
  bool system_spool = false;
  /// strict_mailbox_ownership: operation_not_permitted when the file is not the identity's.
  bool own_file = false;
};

/// Appends the message to `path` (made with mode 0600 when missing) as `identity`. Refuses what is not a regular file
/// or has several links. Blocks, up to attempts * delay while the mailbox is locked (resource_unavailable_try_again
/// then).
[[nodiscard]] Result<> deliver_to_mailbox(const std::string& path, const Identity& identity,
                                          queue::MessageReader& reader, const queue::Envelope& envelope,
                                          const CopyOptions& options, const MailboxLimits& limits,
                                          const LockPolicy& locks, const MailboxRules& rules = {});

}  // namespace stagepost::delivery
