// Where a service's socket is. Daemons have queue_directory as working (or root) directory, so paths are relative.
#pragma once

#include <string>
#include <string_view>

#include "config/snapshot.hpp"
#include "ipc/client_pool.hpp"

namespace stagepost::clients {

/// "private/" + the value of a *_service_name parameter.
[[nodiscard]] inline std::string private_endpoint(const config::Snapshot& config, std::string_view parameter) {
  return "private/" + config.text(parameter);
}
/// "public/" + the value of a *_service_name parameter.
[[nodiscard]] inline std::string public_endpoint(const config::Snapshot& config, std::string_view parameter) {
  return "public/" + config.text(parameter);
}

/// ipc_idle and ipc_ttl.
[[nodiscard]] inline ipc::ClientPool::Limits pool_limits(const config::Snapshot& config) {
  return {.idle_connections = 32, .idle_time = config.seconds("ipc_idle"), .age = config.seconds("ipc_ttl")};
}

/// Answer of services that only say yes or no.
struct Ack {
  static constexpr std::uint16_t kType = 0x0001;
  bool ok = false;
  std::string text;  ///< why not, for the log
  auto fields(this auto& self, auto&& visit) { return visit(self.ok, self.text); }
};

}  // namespace stagepost::clients
