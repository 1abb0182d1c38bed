// The trivial-rewrite daemon: answers the requests of clients/rewrite.hpp.
#pragma once

#include "daemon/daemon.hpp"

namespace stagepost::trivial_rewrite {

[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::trivial_rewrite
