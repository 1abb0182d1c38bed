// One connection of this process to proxymap (or proxywrite), shared by all its proxy: tables and lookups. Requests
// that become ready together leave with one write; replies are matched by their numbers, in any order.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "maps/proxy_protocol.hpp"
#include "net/event.hpp"
#include "net/event_loop.hpp"
#include "net/fd_watch.hpp"
#include "net/task.hpp"

namespace stagepost::maps {

class ProxyClient {
 public:
  struct Settings {
    std::string path;                       ///< of the service's socket
    std::chrono::seconds timeout{3600};     ///< ipc_timeout: for sending a request, and for its reply
    std::chrono::seconds idle{5};           ///< ipc_idle: an unused connection is closed
    std::chrono::seconds age{1000};         ///< ipc_ttl: a connection is replaced
    int connect_tries = 5;                  ///< while the service cannot be reached
    std::chrono::milliseconds pause{1000};  ///< between two of them
    std::function<void(std::string_view)> warn;
  };

  /// `loop` outlives this, and this outlives its asks.
  ProxyClient(net::EventLoop& loop, Settings settings);
  ~ProxyClient();
  ProxyClient(const ProxyClient&) = delete;
  ProxyClient& operator=(const ProxyClient&) = delete;

  /// `request.number` is set here. A request whose connection breaks is repeated once: all of them may be. Errors: the
  /// service cannot be reached ("connect #5 to subsystem private/proxymap: ..."), no reply in time, the caller was
  /// told to end.
  [[nodiscard]] net::Task<Result<ProxyReply>> ask(ProxyRequest request);

 private:
  struct Pending;
  struct Connection;
  [[nodiscard]] net::Task<Result<std::shared_ptr<Connection>>> connected(Deadline deadline);
  [[nodiscard]] net::Task<Result<std::shared_ptr<Connection>>> connect(Deadline deadline);
  [[nodiscard]] net::Task<Result<>> exchange(Connection& connection, Pending& pending, Deadline deadline);
  [[nodiscard]] net::Task<Result<>> write(Connection& connection, Deadline deadline);
  [[nodiscard]] net::Task<Result<>> read(Connection& connection, Deadline deadline);
  void used(Connection& connection);

  net::EventLoop& loop_;
  Settings settings_;
  std::shared_ptr<Connection> connection_;  // for new requests
  std::uint32_t last_number_ = 0;
  bool connecting_ = false;
  std::size_t failures_ = 0;  // of connect(), so that those who wait see a new one
  Error last_failure_;
  net::Event connect_ended_;
  net::Timer idle_timer_;
};

}  // namespace stagepost::maps
