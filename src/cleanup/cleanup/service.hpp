// cleanup: takes messages from smtpd, pickup, bounce and local, completes them, and stores them in incoming/.
#pragma once

#include "daemon/daemon.hpp"

namespace stagepost::cleanup {

[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::cleanup
