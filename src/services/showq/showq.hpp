// showq(8): sends each client of public/showq a listing of the queue (clients/queue_listing.hpp).
#pragma once

#include "daemon/daemon.hpp"

namespace stagepost::showq {

[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::showq
