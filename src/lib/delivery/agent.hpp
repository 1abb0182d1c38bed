// The request loop of a delivery agent: one connection of qmgr, one request at a time.
#pragma once

#include <functional>

#include "delivery/attempt.hpp"
#include "ipc/channel.hpp"

namespace stagepost::delivery {

/// Delivers the recipients of one attempt and records an outcome for each; those without one count as deferred.
using Deliver = std::function<net::Task<>(Attempt&)>;
/// Waits for qmgr's next request (daemon::SessionContext::wait_request).
using WaitRequest = std::function<net::Task<Result<>>(ipc::Channel&, Deadline)>;

struct AgentEnvironment {
  config::SnapshotPtr config;
  const queue::QueueDirectory& directory;
  clients::BounceClient& bounce;
};

/// Serves `channel` until qmgr closes it, it breaks the protocol, or `wait` says stop.
[[nodiscard]] net::Task<> serve_requests(ipc::Channel& channel, WaitRequest wait, AgentEnvironment environment,
                                         Deliver deliver);

}  // namespace stagepost::delivery
