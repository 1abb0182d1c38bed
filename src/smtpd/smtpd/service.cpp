#include "smtpd/smtpd/service.hpp"

#include <vector>

#include "log/log.hpp"
#include "smtpd/smtpd/process_services.hpp"
#include "smtpd/smtpd/session.hpp"

namespace stagepost::smtpd {
namespace {

/// The policies of the configurations in use: the normal one, and the one under stress once it is needed.
class Policies {
 public:
  explicit Policies(maps::OpenContext tables) : tables_(std::move(tables)) {}

  [[nodiscard]] Result<std::shared_ptr<const Policy>> of(const config::SnapshotPtr& config) {
    for (const auto& [known, policy] : known_) {
      if (known == config) { return policy; }
    }
    SP_TRY(auto policy, Policy::create(*config, tables_));
    known_.emplace_back(config, policy);
    return policy;
  }

 private:
  maps::OpenContext tables_;
  std::vector<std::pair<config::SnapshotPtr, std::shared_ptr<const Policy>>> known_;
};

Client client_of(const net::AcceptedConnection& connection) {
  Client client;
  if (connection.peer) {
    client.address = connection.peer->address.text();
    client.port = std::to_string(connection.peer->port);
    client.family = connection.peer->address.family();
  }
  if (connection.local) {
    client.server_address = connection.local->address.text();
    client.server_port = std::to_string(connection.local->port);
  }
  return client;
}

net::Task<> serve_client(net::AcceptedConnection connection, daemon::SessionContext& context, Services& services,
                         Policies& policies) {
  auto policy = policies.of(context.config());
  if (!policy) {
    log::warning("{}", policy.error().message());
    co_return;
  }
  Client client = client_of(connection);
  Session session(services, std::move(*policy), std::move(connection.stream), std::move(client));
  co_await session.run();
}

}  // namespace

Result<std::any> prepare(const config::Snapshot& config, const maps::OpenContext& /*tables*/) {
  const Settings settings = Settings::from(config);
  if (settings.tls_level == tls::Level::none && !settings.tls_wrappermode) { return std::any(TlsPtr()); }
  auto tls_settings = tls::ServerSettings::from(config);
  if (!tls_settings) {
    log::warning("{}", tls_settings.error().message());
    return std::any(TlsPtr());
  }
  auto context = tls::ServerContext::create(std::move(*tls_settings));
  if (!context) {
    log::warning("{}", context.error().message());
    return std::any(TlsPtr());
  }
  return std::any(TlsPtr(std::move(*context)));
}

net::Task<Result<>> serve(daemon::Context& context) {
  auto resolver_settings = dns::ResolverSettings::from(*context.config());
  if (!resolver_settings) { co_return std::unexpected(resolver_settings.error()); }
  auto resolver = dns::Resolver::create(context.loop(), std::move(*resolver_settings));
  if (!resolver) { co_return std::unexpected(resolver.error()); }
  Policies policies(context.tables());
  const auto policy = policies.of(context.config());
  if (!policy) { co_return std::unexpected(policy.error()); }
  if (context.in_chroot()) {
    // Tables cannot be opened any more when stress comes.
    const auto stressed = policies.of(context.stress_config());
    if (!stressed) { co_return std::unexpected(stressed.error()); }
  }
  const auto* const tls = std::any_cast<TlsPtr>(&context.prepared());
  ProcessServices services(
      context.loop(), *context.config(), std::move(*resolver), tls == nullptr ? TlsPtr() : *tls,
      [&context] { return context.keep_busy(); }, context.service_name());
  auto served =
      co_await context.serve_sessions([&](net::AcceptedConnection connection, daemon::SessionContext& session) {
        return serve_client(std::move(connection), session, services, policies);
      });
  co_await services.stop();
  co_return served;
}

}  // namespace stagepost::smtpd
