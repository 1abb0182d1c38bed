// error(8) and retry(8): answers every recipient with the nexthop text. "error" bounces, "retry" (or a text that begins
// with a 4.x.x code) defers.
#pragma once

#include <string_view>

#include "delivery/attempt.hpp"

namespace stagepost::error {

/// What becomes of mail for this nexthop. `service_is_retry`: the transport is named retry.
[[nodiscard]] delivery::Outcome outcome_for(std::string_view nexthop, bool service_is_retry);

}  // namespace stagepost::error
