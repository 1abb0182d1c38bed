// Delivery into a mailbox file (mbox format): locked, appended, synced, and cut back to its old length on failure.
#pragma once

#include <string>

#include "delivery/content_copy.hpp"
#include "delivery/identity.hpp"
#include "delivery/mailbox_lock.hpp"
#include "delivery/maildir.hpp"

namespace stagepost::delivery {

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
