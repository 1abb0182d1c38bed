// See proxy_table.hpp.
#include "maps/proxy_table.hpp"

#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "maps/proxy_client.hpp"

namespace stagepost::maps {
namespace {

/// A table that is not approved is asked for again after this time, not for each lookup.
constexpr std::chrono::seconds kDenialTime{1};
/// A command, as Postfix's: "connect #11" is the last.
constexpr int kCommandTries = 11;
constexpr std::chrono::seconds kCommandPause{10};

class ProxyTable final : public Table {
 public:
  ProxyTable(std::string inner, KeyKind kind, std::string service, std::shared_ptr<ProxyClient> client,
             std::uint8_t flags)
      : Table("proxy:" + inner, kind),
        inner_(std::move(inner)),
        service_(std::move(service)),
        client_(std::move(client)),
        flags_(flags) {}

  bool immediate() const override { return false; }
  std::optional<Result<Found>> find_now(std::string_view /*key*/) override { return std::nullopt; }

  net::Task<Result<Found>> find(std::string key) override {
    auto reply = co_await ask(ProxyRequest::What::look_up, std::move(key), {});
    if (!reply) { co_return std::unexpected(std::move(reply).error()); }
    if (reply->status == ProxyReply::Status::not_found) { co_return Found{}; }
    co_return Found{std::move(reply->text)};
  }

  Result<> each(const Visit& /*visit*/) override { return failure("can't sequence maps via the proxy service"); }

  net::Task<Result<>> put(std::string key, std::string value) override {
    if (value.size() > kProxyValueLimit) {
      co_return failure(fmt::format("table {}: value is too long", name()), std::errc::value_too_large);
    }
    auto reply = co_await ask(ProxyRequest::What::update, std::move(key), std::move(value));
    if (!reply) { co_return std::unexpected(std::move(reply).error()); }
    co_return Result<>{};
  }

  net::Task<Result<bool>> erase(std::string key) override {
    auto reply = co_await ask(ProxyRequest::What::erase, std::move(key), {});
    if (!reply) { co_return std::unexpected(std::move(reply).error()); }
    co_return reply->status == ProxyReply::Status::ok;
  }

 private:
  /// A reply that says ok or not_found.
  net::Task<Result<ProxyReply>> ask(ProxyRequest::What what, std::string key, std::string value) {
    if (SteadyClock::now() < denied_until_) { co_return denied(); }
    ProxyRequest request{
        .number = 0, .what = what, .table = inner_, .flags = flags_, .key = std::move(key), .value = std::move(value)};
    auto reply = co_await client_->ask(std::move(request));
    if (!reply) { co_return reply; }
    if (reply->status == ProxyReply::Status::denied) {
      denied_until_ = SteadyClock::now() + kDenialTime;
      co_return denied();
    }
    if (reply->status == ProxyReply::Status::retry) { co_return failure(std::string(printable(reply->text))); }
    co_return reply;
  }

  [[nodiscard]] std::unexpected<Error> denied() const {
    return failure(fmt::format("{} service is not configured for table \"{}\"", service_, printable(inner_)));
  }

  std::string inner_;
  std::string service_;
  std::shared_ptr<ProxyClient> client_;
  std::uint8_t flags_;
  SteadyClock::time_point denied_until_;
};

/// What the configuration says, and the clients that exist. Tables of one process may be on several loops, each on a
/// thread of its own (nested_table.hpp).
class Services {
 public:
  explicit Services(const config::Snapshot& config)
      : read_(config.text("proxymap_service_name")),
        write_(config.text("proxywrite_service_name")),
        timeout_(config.seconds("ipc_timeout")),
        idle_(config.seconds("ipc_idle")),
        age_(config.seconds("ipc_ttl")) {}

  [[nodiscard]] const std::string& name(Access access) const { return access == Access::write ? write_ : read_; }

  std::shared_ptr<ProxyClient> client(const OpenContext& context) {
    const std::lock_guard lock(mutex_);
    std::weak_ptr<ProxyClient>& known = clients_[{context.loop, context.access}];
    std::shared_ptr<ProxyClient> client = known.lock();
    if (client) { return client; }
    ProxyClient::Settings settings{.path = "private/" + name(context.access),
                                   .timeout = timeout_,
                                   .idle = idle_,
                                   .age = age_,
                                   .warn = context.warn ? context.warn : [](std::string_view) {}};
    if (!context.queue_directory.empty()) {
      settings.path = context.queue_directory + "/" + settings.path;
      settings.connect_tries = kCommandTries;
      settings.pause = kCommandPause;
    }
    client = std::make_shared<ProxyClient>(*context.loop, std::move(settings));
    known = client;
    return client;
  }

 private:
  std::string read_;
  std::string write_;
  std::chrono::seconds timeout_;
  std::chrono::seconds idle_;
  std::chrono::seconds age_;
  std::mutex mutex_;
  std::map<std::pair<net::EventLoop*, Access>, std::weak_ptr<ProxyClient>> clients_;
};

Result<std::unique_ptr<Table>> open_proxy(Services& services, std::string_view name, const OpenContext& context) {
  while (name.starts_with("proxy:")) { name.remove_prefix(std::string_view("proxy:").size()); }
  if (context.security_sensitive) { return open(name, context); }
  if (!name.contains(':') || name.size() > kProxyNameLimit) {
    return failure(fmt::format("{} open failed for table \"{}\": invalid request", services.name(context.access),
                               printable(name)));
  }
  if (context.loop == nullptr) { return failure(fmt::format("proxy:{}: no event loop here", printable(name))); }
  return std::make_unique<ProxyTable>(std::string(name), key_kind_of(name, context), services.name(context.access),
                                      services.client(context), ProxyFlags::of(context));
}

}  // namespace

TableType proxy_type(const config::Snapshot& config) {
  auto services = std::make_shared<Services>(config);
  return {.open = [services](std::string_view name, const OpenContext& context) {
    return open_proxy(*services, name, context);
  }};
}

}  // namespace stagepost::maps
