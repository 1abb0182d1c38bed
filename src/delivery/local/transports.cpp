#include "delivery/local/transports.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace stagepost::local {

Result<TransportChoice> parse_transport(std::string_view text, std::string_view default_nexthop) {
  text = text::trim(text);
  const std::size_t colon = text.find(':');
  const std::string_view transport = text.substr(0, colon);
  const std::string_view nexthop = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const bool is_name = !transport.empty() && std::ranges::all_of(transport, [](char c) {
    return text::is_alnum(c) || c == '-' || c == '_' || c == '.';
  }) && transport.front() != '.';
  if (!is_name) { return failure("bad transport name in \"" + std::string(text) + "\""); }
  return TransportChoice{std::string(transport), std::string(nexthop.empty() ? default_nexthop : nexthop)};
}

net::Task<Result<bool>> Transports::deliver(const delivery::Attempt& attempt, TransportChoice choice,
                                            std::string sender, clients::RecipientRecord recipient) {
  const config::Snapshot& config = attempt.config();
  // One that hands on to itself would occupy one process after the other.
  if (choice.transport == attempt.request().transport) { co_return failure("transport loops back to itself"); }
  delivery::DeliverRequest request = attempt.request();
  request.transport = choice.transport;
  request.nexthop = std::move(choice.nexthop);
  request.sender = std::move(sender);
  request.recipients = {std::move(recipient)};
  const auto [pool, made] = pools_.try_emplace(
      choice.transport, loop_, "private/" + choice.transport,
      ipc::ClientPool::Limits{
          .idle_connections = 1, .idle_time = config.seconds("ipc_idle"), .age = config.seconds("ipc_ttl")});
  // How long it takes is the other agent's affair; its own limits end it.
  const Deadline deadline = within(config.seconds("daemon_timeout"));
  auto reply = co_await pool->second.call<delivery::DeliverReply>(std::move(request), deadline);
  if (!reply) { co_return std::unexpected(std::move(reply.error())); }
  co_return reply->complete;
}

}  // namespace stagepost::local
