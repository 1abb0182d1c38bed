// What every delivery agent's service does around its own deliver function: accept qmgr's connections and run the
// request loop of lib/delivery on each.
#pragma once

#include "daemon/daemon.hpp"
#include "delivery/agent.hpp"

namespace stagepost::daemon {

/// Serves until drain, max_use or max_idle. `deliver` is called once per delivery request.
[[nodiscard]] net::Task<Result<>> serve_deliveries(Context& context, delivery::Deliver deliver);

}  // namespace stagepost::daemon
