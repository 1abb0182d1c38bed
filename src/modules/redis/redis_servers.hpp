// Which server is asked: the first of a list that answers, the master that Sentinels name, or the node of a cluster
// that has the key. Reconnects and follows redirects; every way is bounded in tries and time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "redis_node.hpp"

namespace stagepost::maps::redis {

enum class Topology : std::uint8_t { hosts, sentinel, cluster };

/// Servers that failed lately are tried last. Shared by all connections of a table, on any thread.
class HostHealth {
 public:
  HostHealth(std::size_t hosts, std::chrono::seconds retry_interval);
  /// Positions of all hosts: those in order first that did not fail within retry_interval.
  [[nodiscard]] std::vector<std::size_t> order() const;
  void failed(std::size_t host);
  void answered(std::size_t host);

 private:
  std::vector<std::atomic<SteadyClock::rep>> failed_at_;  ///< 0: not
  SteadyClock::duration retry_interval_;
};

struct ServerSettings {
  Topology topology = Topology::hosts;
  std::vector<PeerAddress> hosts;  ///< servers, Sentinels, or some nodes of the cluster
  std::string sentinel_master;
  Login login;
  Login sentinel_login;
  std::shared_ptr<const TlsContext> tls;  ///< null: none
  std::chrono::seconds timeout{5};
  std::shared_ptr<HostHealth> health;  ///< of `hosts`
  /// For all that one command may cost, failing over included.
  [[nodiscard]] std::chrono::seconds total_time() const;
};

/// The connections of one thread.
class RedisServers {
 public:
  explicit RedisServers(const ServerSettings& settings) : settings_(settings) {}

  /// `key` decides which node of a cluster is asked. The reply is no redirect, and no error of a server that is loading
  /// or may not write as long as there is another one. Commands may be sent more than once.
  [[nodiscard]] Result<Reply> ask(const std::vector<std::string>& command, const std::string& key);

 private:
  using NodePtr = std::unique_ptr<RedisNode>;

  Result<Reply> ask_server(const std::vector<std::string>& command);
  /// Sets server_, and server_host_ when it is one of the hosts.
  Result<> find_server(Deadline deadline);
  Result<NodePtr> connect_master(const PeerAddress& sentinel);
  void lose_server(bool its_fault);

  Result<Reply> ask_cluster(const std::vector<std::string>& command, const std::string& key);
  Result<RedisNode*> node_at(const PeerAddress& address);
  Result<RedisNode*> any_node(const std::string& but);
  void lose_node(const std::string& address);

  const ServerSettings& settings_;
  NodePtr server_;
  std::size_t server_host_ = 0;
  std::map<std::string, NodePtr> nodes_;
  std::unordered_map<std::uint16_t, PeerAddress> slots_;
};

}  // namespace stagepost::maps::redis
