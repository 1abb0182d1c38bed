// Client of anvil, whose name in master.cf is fixed: counts per (service, client) pair over anvil_rate_time_unit.
// Message types 0x05xx.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/snapshot.hpp"
#include "ipc/client_pool.hpp"

namespace stagepost::clients {

struct AnvilEvent {
  enum class What : std::uint8_t { connect, disconnect, message, recipient, new_tls, auth, look_up, kLast = look_up };
  What what = What::connect;
  std::string client;  ///< client address, "192.0.2.1"
  auto fields(this auto& self, auto&& visit) { return visit(self.what, self.client); }
};

/// What happened since the last request, in order. The reply tells about the last event's client.
struct AnvilRequest {
  static constexpr std::uint16_t kType = 0x0501;
  static constexpr std::size_t kMaxEvents = 256;
  std::string service;  ///< master.cf service name, "smtp"
  std::vector<AnvilEvent> events;
  auto fields(this auto& self, auto&& visit) { return visit(self.service, self.events); }
};

struct AnvilReply {
  static constexpr std::uint16_t kType = 0x0502;
  std::uint32_t connections = 0;      ///< open now
  std::uint32_t connection_rate = 0;  ///< events within the time unit
  std::uint32_t message_rate = 0;
  std::uint32_t recipient_rate = 0;
  std::uint32_t new_tls_rate = 0;
  std::uint32_t auth_rate = 0;
  auto fields(this auto& self, auto&& visit) {
    return visit(self.connections, self.connection_rate, self.message_rate, self.recipient_rate, self.new_tls_rate,
                 self.auth_rate);
  }
};

class AnvilClient {
 public:
  AnvilClient(net::EventLoop& loop, const config::Snapshot& config);
  /// At most AnvilRequest::kMaxEvents events.
  [[nodiscard]] net::Task<Result<AnvilReply>> report(std::string service, std::vector<AnvilEvent> events);

 private:
  ipc::ClientPool pool_;
};

}  // namespace stagepost::clients
