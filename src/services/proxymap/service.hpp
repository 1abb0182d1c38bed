// The proxymap daemon: answers the requests of maps/proxy_protocol.hpp.
#pragma once

#include "daemon/daemon.hpp"

namespace stagepost::proxymap {

[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::proxymap
