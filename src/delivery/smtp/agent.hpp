// Delivers one request: finds the servers of its nexthop, tries them in order, and records what became of each
// recipient. Shared by all sessions of a process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "delivery/attempt.hpp"
#include "delivery/smtp/connection_cache.hpp"
#include "delivery/smtp/lookup.hpp"
#include "delivery/smtp/session.hpp"
#include "delivery/smtp/settings.hpp"
#include "maps/chain.hpp"
#include "maps/match_list.hpp"
#include "tls/context.hpp"

namespace stagepost::smtp_client {

/// What a daemon without privileges may not be able to read: TLS keys, tables with passwords, the network interfaces.
/// Opened before privileges are dropped.
struct Resources {
  Self self;
  std::shared_ptr<const tls::ClientContext> tls;  ///< null: no TLS wanted, or its set-up failed (logged)
  maps::Chain policy_maps;
  maps::Chain sasl_passwords;
  maps::MatchList cached_destinations;

  [[nodiscard]] static Result<std::shared_ptr<Resources>> open(const config::Snapshot& config, Protocol protocol,
                                                               const maps::OpenContext& context);
};

class Agent {
 public:
  /// Mail that needs TLS is deferred when `resources` have none.
  [[nodiscard]] static Result<std::unique_ptr<Agent>> create(net::EventLoop& loop, config::SnapshotPtr config,
                                                             Protocol protocol, std::shared_ptr<Resources> resources);

  [[nodiscard]] net::Task<> deliver(delivery::Attempt& attempt);
  /// Connections that may be open at once, in use or kept for later; without a call there is no limit. Deliveries that
  /// run are the caller's to limit: kept sessions make room for them.
  void set_connection_limit(std::size_t connections);

 private:
  /// State of one request.
  struct Run;

  Agent(net::EventLoop& loop, config::SnapshotPtr config, Settings settings, std::unique_ptr<dns::Resolver> resolver,
        std::shared_ptr<Resources> resources);

  void make_room();
  [[nodiscard]] net::Task<> try_destination(Run& run, Destination destination, bool last_destination);
  [[nodiscard]] net::Task<> try_cached(Run& run, const Destination& destination);
  [[nodiscard]] net::Task<> try_unix(Run& run, const Destination& destination, bool last);
  /// One server of a destination; true when it counts as a session (smtp_mx_session_limit).
  [[nodiscard]] net::Task<bool> try_server(Run& run, const Destination& destination, const Candidate& server,
                                           bool last);
  [[nodiscard]] net::Task<bool> use_stream(Run& run, const Destination& destination,
                                           std::unique_ptr<net::Stream> stream, std::string host, std::string relay,
                                           std::string server_name, bool last, bool& retry_in_plaintext);
  [[nodiscard]] net::Task<> send(Run& run, Session& session, bool last);
  [[nodiscard]] net::Task<> give_back(Run& run, const Destination& destination, std::unique_ptr<Session> session);
  [[nodiscard]] net::Task<tls::ClientPolicy> policy_for(Destination destination);
  [[nodiscard]] net::Task<std::optional<Failure>> needs_authentication(const Destination& destination);

  net::EventLoop& loop_;
  config::SnapshotPtr config_;
  Settings settings_;
  std::unique_ptr<dns::Resolver> resolver_;
  ServerLookup lookup_;
  std::shared_ptr<Resources> resources_;
  tls::ClientPolicy default_policy_;
  ConnectionCache cache_;
  std::size_t connection_limit_ = SIZE_MAX;
  std::size_t running_ = 0;  ///< deliveries
};

}  // namespace stagepost::smtp_client
