// Connections to delivery agents, one pool per transport, and the exchange of one request for one reply.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "delivery/request.hpp"
#include "ipc/client_pool.hpp"

namespace stagepost::qmgr {

struct AgentAnswer {
  enum class Kind : unsigned char {
    replied,
    unavailable,  ///< nobody listens: no such service, or no permission
    lost,         ///< the agent went away, was too late or answered nonsense: what it did is unknown
    cancelled     ///< we are stopping
  };
  Kind kind = Kind::lost;
  delivery::DeliverReply reply;  ///< for `replied`
  std::string problem;           ///< otherwise, for the log
};

class Agents {
 public:
  Agents(net::EventLoop& loop, ipc::ClientPool::Limits limits) : loop_(loop), limits_(limits) {}

  /// `reply_limit` bounds the wait for the reply. A request that the agent closed the connection on without reading it
  /// is sent again on a new one; one that it may have read never is.
  [[nodiscard]] net::Task<AgentAnswer> deliver(delivery::DeliverRequest request, std::chrono::seconds reply_limit);

 private:
  [[nodiscard]] ipc::ClientPool& pool(const std::string& transport);

  net::EventLoop& loop_;
  ipc::ClientPool::Limits limits_;
  std::map<std::string, std::unique_ptr<ipc::ClientPool>> pools_;
};

}  // namespace stagepost::qmgr
