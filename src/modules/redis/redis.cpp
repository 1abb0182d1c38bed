// redis: tables (redis_table(5)): strings and hash fields of Redis servers, alone, behind Sentinels or in a cluster.
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "client_source.hpp"
#include "maps/module.hpp"
#include "query.hpp"
#include "redis_servers.hpp"

namespace stagepost::maps {
namespace {

using redis::Reply;

struct Settings {
  redis::ServerSettings servers;
  std::string prefix;
  Template key_format;
  std::optional<Template> field_format;  ///< set: entries are fields of hashes
  ResultRules result;
  std::string domains;
  std::int64_t ttl = 0;  ///< of what is stored, in seconds; 0: for ever
  std::chrono::seconds idle_interval{60};
  Access access = Access::read;
};

class RedisConnection final : public BlockingConnection {
 public:
  explicit RedisConnection(const Settings& settings) : settings_(settings), servers_(settings.servers) {}

  Result<Found> find(const std::string& key) override {
    if (!settings_.result.format().key_suffices(KeyParts(key))) { return Found{}; }
    SP_TRY(const auto entry, entry_of(key));
    if (!entry) { return Found{}; }
    SP_TRY(const Reply reply, ask(*entry, {entry->field ? "HGET" : "GET"}, {}));
    if (reply.kind == Reply::Kind::nil) { return Found{}; }
    if (reply.kind != Reply::Kind::text) { return unexpected_reply(reply); }
    ResultList results(settings_.result, key);
    SP_TRY(results.add(reply.text));
    return results.take();
  }

  Result<> put(const std::string& key, const std::string& value) override {
    SP_TRY(const auto entry, entry_of(key));
    if (!entry) { return failure(fmt::format("key \"{}\" lacks a part of the key's format", printable(key))); }
    std::vector<std::string> rest{value};
    if (settings_.ttl > 0) { rest.insert(rest.end(), {"EX", std::to_string(settings_.ttl)}); }
    SP_TRY(const Reply reply, ask(*entry, {entry->field ? "HSET" : "SET"}, std::move(rest)));
    if (!reply.is_status("OK") && reply.kind != Reply::Kind::integer) { return unexpected_reply(reply); }
    return {};
  }

  Result<bool> erase(const std::string& key) override {
    SP_TRY(const auto entry, entry_of(key));
    if (!entry) { return false; }
    SP_TRY(const Reply reply, ask(*entry, {entry->field ? "HDEL" : "DEL"}, {}));
    if (reply.kind != Reply::Kind::integer) { return unexpected_reply(reply); }
    return reply.integer > 0;
  }

 private:
  struct Entry {
    std::string key;
    std::optional<std::string> field;
  };

  /// nullopt: the key lacks a part that the format names.
  [[nodiscard]] Result<std::optional<Entry>> entry_of(const std::string& key) const {
    const auto as_is = [](std::string_view part) { return std::string(part); };
    const KeyParts parts(key);
    SP_TRY(auto name, settings_.key_format.query(parts, as_is));
    if (!name) { return std::nullopt; }
    Entry entry{.key = settings_.prefix + *name, .field = std::nullopt};
    if (settings_.field_format) {
      SP_TRY(entry.field, settings_.field_format->query(parts, as_is));
      if (!entry.field) { return std::nullopt; }
    }
    return entry;
  }

  Result<Reply> ask(const Entry& entry, std::vector<std::string> command, std::vector<std::string> rest) {
    command.push_back(entry.key);
    if (entry.field) { command.push_back(*entry.field); }
    command.insert(command.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
    return servers_.ask(command, entry.key);
  }

  static std::unexpected<Error> unexpected_reply(const Reply& reply) {
    if (reply.kind == Reply::Kind::error) {
      const bool cluster = reply.is_error("MOVED ") || reply.is_error("ASK ");
      return failure(
          fmt::format("server says: {}{}", printable(reply.text), cluster ? " (needs \"cluster = yes\")" : ""),
          std::errc::protocol_error);
    }
    return failure("unexpected reply from server", std::errc::protocol_error);
  }

  const Settings& settings_;
  redis::RedisServers servers_;
};

class RedisClient final : public BlockingClient {
 public:
  explicit RedisClient(Settings settings) : settings_(std::move(settings)) {}

  Limits limits() const override {
    Limits limits;
    limits.answer = settings_.servers.total_time() + 2 * settings_.servers.timeout;
    limits.idle = settings_.idle_interval;
    // Changes reach the server in the order they were made.
    if (settings_.access == Access::write) { limits.connections = 1; }
    return limits;
  }
  std::string key_domains() const override { return settings_.domains; }
  Result<std::unique_ptr<BlockingConnection>> connect() const override {
    return std::make_unique<RedisConnection>(settings_);
  }

 private:
  Settings settings_;
};

Result<redis::ServerSettings> read_servers(const ClientSource& source) {
  constexpr std::size_t kHostLimit = 100;
  redis::ServerSettings servers;
  SP_TRY(const bool cluster, source.flag("cluster", false));
  servers.sentinel_master = source.text("sentinel_master");
  if (cluster && !servers.sentinel_master.empty()) {
    return failure(source.name() + ": specify either cluster or sentinel_master");
  }
  servers.topology = cluster                            ? redis::Topology::cluster
                     : !servers.sentinel_master.empty() ? redis::Topology::sentinel
                                                        : redis::Topology::hosts;
  const std::string_view port = servers.topology == redis::Topology::sentinel ? "26379" : "6379";
  SP_TRY(const std::string hosts, source.nonempty_text("hosts", "localhost"));
  for (const std::string_view word : text::split(hosts, ", \t\r\n")) {
    auto host = parse_peer(word, port);
    if (!host) { return std::unexpected(std::move(host).error().within(source.name() + ": hosts")); }
    servers.hosts.push_back(*std::move(host));
  }
  if (servers.hosts.empty() || servers.hosts.size() > kHostLimit) {
    return failure(fmt::format("{}: hosts: specify 1 to {} servers", source.name(), kHostLimit));
  }
  servers.login.user = source.text("username");
  servers.login.password = source.text("password");
  servers.sentinel_login.user = source.text("sentinel_username");
  servers.sentinel_login.password = source.text("sentinel_password");
  if ((!servers.login.user.empty() && servers.login.password.empty()) ||
      (!servers.sentinel_login.user.empty() && servers.sentinel_login.password.empty())) {
    return failure(source.name() + ": a user name needs a password");
  }
  SP_TRY(servers.login.db, source.number("db", 0));
  if (cluster && servers.login.db != 0) { return failure(source.name() + ": a cluster has no db but 0"); }
  SP_TRY(servers.timeout, source.time("timeout", servers.timeout));
  SP_TRY(const auto retry_interval, source.time("retry_interval", std::chrono::seconds(10)));
  servers.health = std::make_shared<redis::HostHealth>(servers.hosts.size(), retry_interval);
  SP_TRY(const bool tls, source.flag("tls", false));
  if (tls) {
    redis::TlsSettings settings{.ca_file = source.text("tls_CAfile"),
                                .ca_path = source.text("tls_CApath"),
                                .cert_file = source.text("tls_cert_file"),
                                .key_file = source.text("tls_key_file"),
                                .server_name = source.text("tls_server_name")};
    SP_TRY(settings.verify, source.flag("tls_verify_cert", true));
    auto context = redis::TlsContext::create(settings);
    if (!context) { return std::unexpected(std::move(context).error().within(source.name())); }
    servers.tls = *std::move(context);
  }
  return servers;
}

Result<std::shared_ptr<const BlockingClient>> connect(std::string_view name, const ModuleContext& context) {
  SP_TRY(const ClientSource source, ClientSource::open(name, context));
  Settings settings;
  settings.access = context.access;
  SP_TRY(settings.servers, read_servers(source));
  settings.prefix = source.text("prefix");
  SP_TRY(settings.key_format, Template::parse(source.text("key_format", "%s"), source.name(), "key_format"));
  SP_TRY(settings.ttl, source.number("ttl", 0));
  if (const std::string field = source.text("field_format"); !field.empty()) {
    SP_TRY(settings.field_format, Template::parse(field, source.name(), "field_format"));
    if (settings.ttl != 0) { return failure(source.name() + ": the fields of a hash have no ttl"); }
  }
  SP_TRY(settings.result, ResultRules::read(source));
  settings.domains = source.text("domain");
  SP_TRY(settings.idle_interval, source.time("idle_interval", settings.idle_interval));
  return std::make_shared<const RedisClient>(std::move(settings));
}

constexpr std::array<ModuleType, 1> kTypes{{{.type = "redis", .connect = connect}}};

}  // namespace
}  // namespace stagepost::maps

const stagepost::maps::Module stagepost_table_module{.types = stagepost::maps::kTypes};
