// bounce, defer and trace: one program, three services. Each keeps a log per message and turns it into reports.
#pragma once

#include "daemon/daemon.hpp"

namespace stagepost::bounce {

[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::bounce
