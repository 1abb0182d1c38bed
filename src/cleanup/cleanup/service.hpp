// cleanup: takes messages from smtpd, pickup, bounce and local, completes them, and stores them in incoming/.
#pragma once

#include <any>

#include "daemon/daemon.hpp"

namespace stagepost::cleanup {

/// What cannot be read any more after chroot.
[[nodiscard]] Result<std::any> prepare(const config::Snapshot& config, const maps::OpenContext& open);
[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::cleanup
