// flush(8): remembers which deferred messages wait for which destination (fast_flush_domains), and sends them on their
// way when someone asks: ETRN, "postqueue -s", "postqueue -i".
#pragma once

#include "daemon/daemon.hpp"

namespace stagepost::flush {

[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::flush
