// What a failed mailbox or file delivery means for the mail. Pure.
#pragma once

#include "base/result.hpp"
#include "delivery/attempt.hpp"

namespace stagepost::local {

/// Kind and enhanced status code of an error of delivery::deliver_to_mailbox or deliver_to_maildir; the text is the
/// caller's. A mailbox that is full, and a path that cannot be a mailbox of this user (no directory, no permission, a
/// directory, links), bounce as with Postfix. Everything that may pass (locks, a full disk, I/O errors, a mailbox that
/// belongs to someone else) is tried again.
[[nodiscard]] delivery::Outcome mailbox_failure(const Error& error);

}  // namespace stagepost::local
