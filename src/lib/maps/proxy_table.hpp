// proxy:type:name: a table that proxymap opens, or proxywrite for tables that are written (proxymap(8)).
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "config/snapshot.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// The type "proxy" with what a configuration says about the services: proxymap_service_name, proxywrite_service_name,
/// ipc_timeout, ipc_idle, ipc_ttl. All its tables on one event loop share one connection to each service.
/// OpenContext::queue_directory, set in commands only, also makes them wait for the services as long as Postfix's
/// commands do (100 s); a daemon gives up after 4 s. Tables for security-sensitive purposes are opened in place.
[[nodiscard]] TableType proxy_type(const config::Snapshot& config);

}  // namespace stagepost::maps
