#include "qmgr/backoff.hpp"

#include <algorithm>

namespace stagepost::qmgr {

std::chrono::seconds retry_delay(std::chrono::seconds age, const RetryRules& rules) {
  const auto maximum = std::max(rules.minimal_backoff_time, rules.maximal_backoff_time);
  return std::clamp(age, rules.minimal_backoff_time, maximum);
}

bool expired(std::chrono::seconds age, SenderKind sender, const RetryRules& rules) {
  return age >= (sender == SenderKind::null_sender ? rules.bounce_queue_lifetime : rules.maximal_queue_lifetime);
}

}  // namespace stagepost::qmgr
