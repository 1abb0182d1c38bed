#include "daemon/agent_service.hpp"

#include "clients/bounce.hpp"
#include "queue/hashing_settings.hpp"

namespace stagepost::daemon {
namespace {

struct Shared {
  queue::QueueDirectory directory;
  clients::BounceClient bounce;
  delivery::Deliver deliver;
};

net::Task<> serve_client(net::AcceptedConnection connection, SessionContext& session, Shared& shared) {
  ipc::Channel channel(std::move(connection.stream));
  delivery::WaitRequest wait = [&session](ipc::Channel& client, Deadline deadline) {
    return session.wait_request(client, deadline);
  };
  delivery::AgentEnvironment environment{session.config(), shared.directory, shared.bounce};
  co_await delivery::serve_requests(channel, std::move(wait), std::move(environment), shared.deliver);
}

}  // namespace

net::Task<Result<>> serve_deliveries(Context& context, delivery::Deliver deliver) {
  const config::Snapshot& config = *context.config();
  Shared shared{queue::QueueDirectory(".", queue::hashing(config)), clients::BounceClient(context.loop(), config),
                std::move(deliver)};
  auto served = co_await context.serve_sessions([&shared](net::AcceptedConnection connection, SessionContext& session) {
    return serve_client(std::move(connection), session, shared);
  });
  co_return served;
}

}  // namespace stagepost::daemon
