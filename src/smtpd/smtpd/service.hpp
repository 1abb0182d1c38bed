// smtpd: the SMTP server. Accepts sessions and shares the process's tables, resolver and service clients among them.
#pragma once

#include <any>

#include "daemon/daemon.hpp"

namespace stagepost::smtpd {

/// Reads the TLS keys while they are readable.
[[nodiscard]] Result<std::any> prepare(const config::Snapshot& config, const maps::OpenContext& tables);
[[nodiscard]] net::Task<Result<>> serve(daemon::Context& context);

}  // namespace stagepost::smtpd
