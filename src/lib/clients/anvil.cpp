#include "clients/anvil.hpp"

#include "clients/endpoint.hpp"

namespace stagepost::clients {

AnvilClient::AnvilClient(net::EventLoop& loop, const config::Snapshot& config)
    : pool_(loop, "private/anvil", pool_limits(config)) {}

net::Task<Result<AnvilReply>> AnvilClient::report(std::string service, std::vector<AnvilEvent> events) {
  // Counting must never hold up mail: a few seconds, not ipc_timeout.
  return pool_.call<AnvilReply>(AnvilRequest{std::move(service), std::move(events)}, within(std::chrono::seconds(10)));
}

}  // namespace stagepost::clients
