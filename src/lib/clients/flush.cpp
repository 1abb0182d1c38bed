#include "clients/flush.hpp"

#include "clients/endpoint.hpp"

namespace stagepost::clients {

FlushClient::FlushClient(net::EventLoop& loop, const config::Snapshot& config)
    : pool_(loop, public_endpoint(config, "flush_service_name"), pool_limits(config)),
      timeout_(config.seconds("ipc_timeout")) {}

net::Task<Result<FlushReply::Status>> FlushClient::ask(FlushRequest request) {
  const auto reply = co_await pool_.call<FlushReply>(std::move(request), within(timeout_));
  if (!reply) { co_return std::unexpected(reply.error()); }
  co_return reply->status;
}

}  // namespace stagepost::clients
