// NOTIFY of recipients that take the place of another (RFC 3461 §5.2.7.3). Pure.
#pragma once

#include <cstdint>

#include "queue/message_reader.hpp"

namespace stagepost::local {

/// The original recipient's flags for those it expands to: success has been reported as "expanded", so it is not
/// reported again. If nothing else was asked for, nothing is reported.
[[nodiscard]] constexpr std::uint32_t notify_after_expansion(std::uint32_t notify) {
  if ((notify & queue::kNotifySuccess) == 0) { return notify; }
  const std::uint32_t rest = notify & ~static_cast<std::uint32_t>(queue::kNotifySuccess);
  return rest != 0 ? rest : static_cast<std::uint32_t>(queue::kNotifyNever);
}

}  // namespace stagepost::local
