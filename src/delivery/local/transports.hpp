// Hands a recipient on to another delivery agent: mailbox_transport, fallback_transport and their tables.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "delivery/attempt.hpp"
#include "ipc/client_pool.hpp"

namespace stagepost::local {

/// "transport:nexthop", "transport" or "transport:".
struct TransportChoice {
  std::string transport;
  std::string nexthop;
  bool operator==(const TransportChoice&) const = default;
};
/// `default_nexthop` takes the place of an empty one. Error: no name of a service.
[[nodiscard]] Result<TransportChoice> parse_transport(std::string_view text, std::string_view default_nexthop);

class Transports {
 public:
  explicit Transports(net::EventLoop& loop) : loop_(loop) {}
  /// Asks the agent to deliver the message of `attempt` to `recipient`, which must not have an offset: marking is left
  /// to the caller. The agent logs and reports. False: deferred.
  [[nodiscard]] net::Task<Result<bool>> deliver(const delivery::Attempt& attempt, TransportChoice choice,
                                                std::string sender, clients::RecipientRecord recipient);

 private:
  net::EventLoop& loop_;
  std::map<std::string, ipc::ClientPool> pools_;
};

}  // namespace stagepost::local
