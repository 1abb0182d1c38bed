// anvil(8): counts connections and events per client for the whole mail system.
#pragma once

#include "daemon/daemon.hpp"

namespace stagepost::anvil {

[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::anvil
