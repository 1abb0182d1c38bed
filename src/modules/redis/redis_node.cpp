// See redis_node.hpp.
#include "redis_node.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "maps/lookup.hpp"

namespace stagepost::maps::redis {
namespace {

/// A value and what the protocol puts around it.
constexpr std::size_t kReplyLimitBytes = kValueLimit + 1024;

}  // namespace

RedisNode::RedisNode(PeerAddress server, std::unique_ptr<PeerStream> stream, std::chrono::seconds timeout)
    : server_(std::move(server)), stream_(std::move(stream)), reader_(kReplyLimitBytes), timeout_(timeout) {}

Result<std::unique_ptr<RedisNode>> RedisNode::connect(const PeerAddress& server, const Login& login,
                                                      const TlsContext* tls, std::chrono::seconds timeout) {
  const Deadline deadline = within(timeout);
  SP_TRY(unique_fd socket, connect_peer(server, deadline));
  std::unique_ptr<PeerStream> stream = plain_stream(std::move(socket));
  if (tls != nullptr) {
    auto secured = tls->start(std::move(stream), server.local ? "" : server.host, deadline);
    if (!secured) { return std::unexpected(std::move(secured).error().within(server.text())); }
    stream = *std::move(secured);
  }
  std::unique_ptr<RedisNode> node(new RedisNode(server, std::move(stream), timeout));
  if (auto greeted = node->greet(login, deadline); !greeted) {
    return std::unexpected(std::move(greeted).error().within(server.text()));
  }
  return node;
}

Result<> RedisNode::greet(const Login& login, Deadline deadline) {
  std::vector<std::pair<std::string, std::vector<std::string>>> steps;
  if (!login.password.empty()) {
    std::vector<std::string> command{"AUTH"};
    if (!login.user.empty()) { command.push_back(login.user); }
    command.push_back(login.password);
    steps.emplace_back("authentication failed", std::move(command));
  }
  if (login.db != 0) {
    steps.emplace_back(fmt::format("select db {}", login.db),
                       std::vector<std::string>{"SELECT", std::to_string(login.db)});
  }
  for (const auto& [what, command] : steps) {
    SP_TRY(const Reply reply, converse(command, deadline));
    if (!reply.is_status("OK")) {
      return failure(fmt::format("{}: {}", what, printable(reply.text)), std::errc::permission_denied);
    }
  }
  return {};
}

Result<Reply> RedisNode::call(const std::vector<std::string>& command) {
  auto reply = converse(command, within(timeout_));
  if (!reply) { return std::unexpected(std::move(reply).error().within(server_.text())); }
  return reply;
}

Result<Reply> RedisNode::converse(const std::vector<std::string>& command, Deadline deadline) {
  auto sent = stream_->write(encode_command(command), deadline);
  if (!sent && sent.error().is(std::errc::broken_pipe)) {
    return failure("server closed the connection", std::errc::connection_reset);
  }
  SP_TRY(std::move(sent));
  std::array<char, 16384> buffer{};
  for (;;) {
    SP_TRY(const std::size_t got, stream_->read(buffer, deadline));
    SP_TRY(auto reply, reader_.feed({buffer.data(), got}));
    if (reply) { return *std::move(reply); }
  }
}

}  // namespace stagepost::maps::redis
