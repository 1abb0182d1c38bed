// The qmgr daemon: reads triggers from public/qmgr and runs the Manager until master stops or replaces it.
#pragma once

#include <any>

#include "daemon/daemon.hpp"

namespace stagepost::qmgr {

/// Reads master.cf while it can still be read: how many deliveries each transport can have at once.
[[nodiscard]] Result<std::any> prepare(const config::Snapshot& config, const maps::OpenContext& tables);
[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::qmgr
