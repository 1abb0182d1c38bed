#include "qmgr/agents.hpp"

namespace stagepost::qmgr {
namespace {

/// The socket of a service exists as long as master runs; this covers a restart of master's listener.
constexpr std::chrono::milliseconds kConnectLimit{200};
constexpr std::chrono::seconds kSendLimit{60};
/// An agent that closes one fresh connection after the other unread is broken.
constexpr int kAttempts = 5;

/// The peer closed before it read what we sent (UNIX-domain sockets: unread data makes the close a reset).
bool was_not_read(const Error& error) {
  return error.is(std::errc::broken_pipe) || error.is(std::errc::connection_reset);
}

AgentAnswer problem(AgentAnswer::Kind kind, const Error& error) {
  AgentAnswer answer;
  answer.kind = error.is(std::errc::operation_canceled) ? AgentAnswer::Kind::cancelled : kind;
  answer.problem = error.code.message();
  return answer;
}

}  // namespace

ipc::ClientPool& Agents::pool(const std::string& transport) {
  auto& pool = pools_[transport];
  if (!pool) { pool = std::make_unique<ipc::ClientPool>(loop_, "private/" + transport, limits_); }
  return *pool;
}

net::Task<AgentAnswer> Agents::deliver(delivery::DeliverRequest request, std::chrono::seconds reply_limit) {
  ipc::ClientPool& connections = pool(request.transport);
  for (int attempt = 1;; ++attempt) {
    auto lease = co_await connections.acquire(within(kConnectLimit));
    if (!lease) { co_return problem(AgentAnswer::Kind::unavailable, lease.error()); }
    const auto sent = co_await (*lease)->send(request, within(kSendLimit));
    if (!sent) {
      if (was_not_read(sent.error()) && attempt < kAttempts) { continue; }
      co_return problem(AgentAnswer::Kind::lost, sent.error());
    }
    auto reply = co_await (*lease)->receive_as<delivery::DeliverReply>(within(reply_limit));
    if (!reply) {
      if (was_not_read(reply.error()) && attempt < kAttempts) { continue; }
      co_return problem(AgentAnswer::Kind::lost, reply.error());
    }
    lease->release();
    AgentAnswer answer;
    answer.kind = AgentAnswer::Kind::replied;
    answer.reply = std::move(*reply);
    co_return answer;
  }
}

}  // namespace stagepost::qmgr
