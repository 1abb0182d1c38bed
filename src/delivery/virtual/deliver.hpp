// One recipient's mailbox: Maildir or mailbox file, and what its failures mean for the sender.
#pragma once

#include "delivery/attempt.hpp"
#include "delivery/mailbox_file.hpp"
#include "delivery/virtual/mailbox_lookup.hpp"

namespace stagepost::virtual_agent {

/// Writes the message; blocks. The outcome is complete but for recording it.
[[nodiscard]] delivery::Outcome deliver_to(const Mailbox& mailbox, delivery::Attempt& attempt,
                                           const clients::RecipientRecord& recipient,
                                           const delivery::LockPolicy& locks);
/// What an error of mailbox delivery means: out of quota bounces, everything else is tried again.
[[nodiscard]] delivery::Outcome outcome_of_failure(const Error& error, const Mailbox& mailbox);

}  // namespace stagepost::virtual_agent
