// One connection to one Redis server: connected, encrypted, authenticated, and then a command and its reply at a time.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "peer_stream.hpp"
#include "resp_reader.hpp"
#include "tls_stream.hpp"

namespace stagepost::maps::redis {

/// How to greet a server.
struct Login {
  std::string user;      ///< empty: the default user
  std::string password;  ///< empty: none is sent
  std::int64_t db = 0;
};

class RedisNode {
 public:
  /// `timeout` is for connecting with all that belongs to it. `tls` null: none. Errors name the server.
  [[nodiscard]] static Result<std::unique_ptr<RedisNode>> connect(const PeerAddress& server, const Login& login,
                                                                  const TlsContext* tls, std::chrono::seconds timeout);

  /// A reply that is an error is a Reply too; after an Error the node is of no use. connection_reset: the server closed
  /// the connection, perhaps before it saw the command.
  [[nodiscard]] Result<Reply> call(const std::vector<std::string>& command);

  [[nodiscard]] const PeerAddress& server() const { return server_; }

 private:
  RedisNode(PeerAddress server, std::unique_ptr<PeerStream> stream, std::chrono::seconds timeout);
  Result<Reply> converse(const std::vector<std::string>& command, Deadline deadline);
  Result<> greet(const Login& login, Deadline deadline);

  PeerAddress server_;
  std::unique_ptr<PeerStream> stream_;
  ReplyReader reader_;
  std::chrono::seconds timeout_;
};

}  // namespace stagepost::maps::redis
