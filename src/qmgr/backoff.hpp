// When a deferred message is tried again, and when it is given up. Pure.
#pragma once

#include <chrono>

namespace stagepost::qmgr {

struct RetryRules {
  std::chrono::seconds minimal_backoff_time{300};
  std::chrono::seconds maximal_backoff_time{4000};
  std::chrono::seconds maximal_queue_lifetime{5 * 24 * 3600};
  std::chrono::seconds bounce_queue_lifetime{5 * 24 * 3600};
};

/// Wait before the next attempt for a message of this age. Waiting as long as it has waited so far doubles the time
/// between attempts, without a count of attempts to be stored.
[[nodiscard]] std::chrono::seconds retry_delay(std::chrono::seconds age, const RetryRules& rules);

/// True when a message of this age that is still undelivered goes back to its sender.
enum class SenderKind { null_sender, mailbox };
[[nodiscard]] bool expired(std::chrono::seconds age, SenderKind sender, const RetryRules& rules);

}  // namespace stagepost::qmgr
