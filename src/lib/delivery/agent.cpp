#include "delivery/agent.hpp"

#include "log/log.hpp"
#include "net/error.hpp"
#include "queue/error.hpp"

namespace stagepost::delivery {

net::Task<> serve_requests(ipc::Channel& channel, WaitRequest wait, AgentEnvironment environment, Deliver deliver) {
  const auto timeout = environment.config->seconds("ipc_timeout");
  for (;;) {
    const auto ready = co_await wait(channel, Deadline::never());
    if (!ready) { co_return; }
    auto request = co_await channel.receive_as<DeliverRequest>(within(timeout));
    if (!request) {
      if (request.error().code != net::Errc::end_of_stream) {
        log::warning("delivery request: {}", request.error().message());
      }
      co_return;
    }
    const std::string queue_id = request->queue_id;
    DeliverReply reply;
    auto attempt = Attempt::open(std::move(*request), environment.directory, environment.config, environment.bounce);
    if (attempt) {
      co_await deliver(*attempt);
      reply = attempt->reply();
    } else {
      log::warning("{}: {}", queue_id, attempt.error().message());
      reply.damaged = queue::is_damage(attempt.error());
    }
    const auto sent = co_await channel.send(reply, within(timeout));
    if (!sent) { co_return; }
  }
}

}  // namespace stagepost::delivery
