#include "smtpd/smtpd/service.hpp"

#include <sys/statvfs.h>
#include <vector>

#include "clients/cleanup.hpp"
#include "clients/flush.hpp"
#include "clients/rewrite.hpp"
#include "log/log.hpp"
#include "net/event.hpp"
#include "smtpd/smtpd/anvil_reporter.hpp"
#include "smtpd/smtpd/services.hpp"
#include "smtpd/smtpd/session.hpp"

namespace stagepost::smtpd {
namespace {

using TlsPtr = std::shared_ptr<const tls::ServerContext>;

/// A name for a client must not take longer than the client's patience.
constexpr std::chrono::seconds kNameLookupTime{60};

class QueueSink final : public MessageSink {
 public:
  explicit QueueSink(clients::Submission submission) : submission_(std::move(submission)) {}
  [[nodiscard]] const std::string& queue_id() const override { return submission_.queue_id(); }
  [[nodiscard]] net::Task<Result<>> add_recipients(std::vector<clients::RecipientRecord> recipients) override {
    return submission_.add_recipients(std::move(recipients));
  }
  [[nodiscard]] net::Task<Result<>> add_content(std::string bytes) override {
    return submission_.add_content(std::move(bytes));
  }
  [[nodiscard]] net::Task<Result<clients::CleanupResult>> finish(clients::CleanupEnd end) override {
    return submission_.finish(std::move(end));
  }

 private:
  clients::Submission submission_;
};

class ProcessServices final : public Services {
 public:
  ProcessServices(daemon::Context& context, std::unique_ptr<dns::Resolver> resolver, TlsPtr tls)
      : resolver_(std::move(resolver)),
        tls_(std::move(tls)),
        rewrite_(context.loop(), *context.config()),
        cleanup_(context.loop(), *context.config()),
        flush_(context.loop(), *context.config()),
        anvil_(
            context.loop(), *context.config(), tasks_, [&context] { return context.keep_busy(); },
            context.service_name()),
        tasks_(context.loop(), "smtpd reports", 1) {}

  /// Before the end: what still runs here uses this object.
  [[nodiscard]] net::Task<> stop() { return tasks_.cancel_and_join(); }

  [[nodiscard]] net::Task<Result<clients::ResolveReply>> resolve(std::string sender, std::string recipient) override {
    return rewrite_.resolve(std::move(sender), std::move(recipient));
  }
  [[nodiscard]] net::Task<dns::Answer> dns(std::string name, dns::Type type) override {
    return resolver_->lookup(std::move(name), type, within(kNameLookupTime));
  }
  [[nodiscard]] net::Task<> sleep(std::chrono::seconds time) override {
    [[maybe_unused]] const auto slept = co_await net::sleep_until(within(time));
  }
  [[nodiscard]] net::Task<Opened> open_message(clients::CleanupOpen request) override {
    auto opened = co_await cleanup_.open(std::move(request));
    if (!opened) { co_return std::unexpected(opened.error()); }
    co_return Opened(std::make_unique<QueueSink>(std::move(*opened)));
  }
  [[nodiscard]] net::Task<dns::ClientName> client_name(net::IpAddress address) override {
    return resolver_->client_name(address, within(kNameLookupTime));
  }
  [[nodiscard]] net::Task<Result<clients::FlushReply::Status>> flush_site(std::string site) override {
    return flush_.ask({.what = clients::FlushRequest::What::send_site, .site = std::move(site), .queue_id = {}});
  }
  void count(clients::AnvilEvent::What event, const std::string& client_address) override {
    anvil_.report(event, client_address);
  }
  [[nodiscard]] Result<std::uint64_t> queue_free_bytes() override {
    struct statvfs space{};
    if (::statvfs(".", &space) != 0) { return errno_failure("statvfs ."); }
    return static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  }
  [[nodiscard]] TlsPtr tls() override { return tls_; }

 private:
  std::unique_ptr<dns::Resolver> resolver_;
  TlsPtr tls_;
  clients::RewriteClient rewrite_;
  clients::CleanupClient cleanup_;
  clients::FlushClient flush_;
  AnvilReporter anvil_;
  net::TaskGroup tasks_;
};

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
  const auto* const tls = std::any_cast<TlsPtr>(&context.prepared());
  ProcessServices services(context, std::move(*resolver), tls == nullptr ? TlsPtr() : *tls);
  auto served =
      co_await context.serve_sessions([&](net::AcceptedConnection connection, daemon::SessionContext& session) {
        return serve_client(std::move(connection), session, services, policies);
      });
  co_await services.stop();
  co_return served;
}

}  // namespace stagepost::smtpd
