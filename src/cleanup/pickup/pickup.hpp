// pickup(8): carries what postdrop left in maildrop/ to cleanup.
#pragma once

#include "daemon/daemon.hpp"

namespace stagepost::pickup {

[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::pickup
