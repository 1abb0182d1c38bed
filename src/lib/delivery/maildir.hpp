// Delivery into a Maildir: tmp/, then new/, never a partial message in new/.
#pragma once

#include <string>

#include "delivery/content_copy.hpp"
#include "delivery/identity.hpp"

namespace stagepost::delivery {

struct MailboxLimits {
  std::uint64_t size_limit_bytes = 0;  ///< mailbox_size_limit / virtual_mailbox_limit; 0: none
};

/// Delivers into `directory` (made with tmp, cur and new when missing, mode 0700) as `identity`. The message is synced
/// before it appears in new/; where the mailbox is on another file system than the queue file, the directory is synced
/// too, since no journal orders its rename before the removal of the queue file. Blocks.
/// Errors name the step and the path: "create maildir file /x/tmp/y: Permission denied".
[[nodiscard]] Result<> deliver_to_maildir(const std::string& directory, const Identity& identity,
                                          queue::MessageReader& reader, const queue::Envelope& envelope,
                                          const CopyOptions& options, const MailboxLimits& limits);

}  // namespace stagepost::delivery
