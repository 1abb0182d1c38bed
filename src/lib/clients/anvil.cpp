#include "clients/anvil.hpp"

#include "clients/endpoint.hpp"

namespace stagepost::clients {

AnvilClient::AnvilClient(net::EventLoop& loop, const config::Snapshot& config)
    : pool_(loop, "private/anvil", pool_limits(config)) {}

net::Task<Result<AnvilReply>> AnvilClient::report(AnvilRequest::Event event, std::string service, std::string client) {
  // Counting must never hold up mail: a few seconds, not ipc_timeout.
  return pool_.call<AnvilReply>(AnvilRequest{event, std::move(service), std::move(client)},
                                within(std::chrono::seconds(10)));
}

}  // namespace stagepost::clients
