// ldap: tables, ldap_table(5): settings, and lookups through OpenLDAP's library.
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "client_source.hpp"
#include "failover.hpp"
#include "host_list.hpp"
#include "ldap_expansion.hpp"
#include "ldap_link.hpp"
#include "ldap_quote.hpp"
#include "maps/module.hpp"
#include "query.hpp"
#include "sql_client.hpp"

namespace stagepost::maps {
namespace {

// ldap_table(5) has no parameters for these.
constexpr std::chrono::seconds kIdle{60};
constexpr std::chrono::seconds kRetry{60};

struct LdapSettings {
  std::string table_name;  ///< "ldap:name", for warnings
  LdapConnectionSettings connection;
  Template search_base;
  std::string search_base_text;
  bool fixed_base = true;
  LdapScope scope = LdapScope::sub;
  Template query_filter;
  ResultRules results;
  LdapAttributes attributes;
  std::string domains;
  std::function<void(std::string_view)> warn;
};

class LdapClient final : public BlockingClient {
 public:
  LdapClient(LdapSettings settings, std::vector<HostList::Host> servers)
      : settings_(std::move(settings)), servers_(std::move(servers), HostList::Order::as_listed, kRetry) {}

  Limits limits() const override { return {.answer = 3 * settings_.connection.timeout, .idle = kIdle}; }
  std::string key_domains() const override { return settings_.domains; }
  Result<std::unique_ptr<BlockingConnection>> connect() const override;

  [[nodiscard]] const LdapSettings& settings() const { return settings_; }
  [[nodiscard]] HostList& servers() const { return servers_; }

 private:
  LdapSettings settings_;
  mutable HostList servers_;
};

class LdapConnection final : public BlockingConnection {
 public:
  explicit LdapConnection(const LdapClient& client)
      : settings_(client.settings()),
        servers_(
            client.servers(), settings_.table_name,
            [&client](std::size_t server) {
              return LdapLink::connect(client.settings().connection, client.servers().name(server));
            },
            settings_.warn) {}

  Result<Found> find(const std::string& key) override {
    const KeyParts parts(key);
    if (!settings_.results.format().key_suffices(parts)) { return Found{}; }
    const auto for_dn = [](std::string_view part) -> Result<std::string> { return quote_for_dn(part); };
    const auto for_filter = [](std::string_view part) -> Result<std::string> { return quote_for_filter(part); };
    SP_TRY(auto base, settings_.search_base.query(parts, for_dn));
    SP_TRY(auto filter, settings_.query_filter.query(parts, for_filter));
    if (!base || !filter) { return Found{}; }
    const LdapSearch search{.base = *std::move(base),
                            .scope = settings_.scope,
                            .filter = *std::move(filter),
                            .attributes = settings_.attributes.names()};
    return servers_.call([&](LdapLink& link) {
      Asked asked;
      asked.found = ask(link, parts, search, asked.refused);
      return asked;
    });
  }

 private:
  Result<Found> ask(LdapLink& link, const KeyParts& key, const LdapSearch& search, bool& refused) const {
    // References may need many searches: they get as long as the table's user waits, with some left for connecting.
    link.set_deadline(within(2 * settings_.connection.timeout));
    SP_TRY(const auto entries, link.search(search));
    if (!entries) {
      // A base made of the key may well be missing; one that is configured may not.
      if (!settings_.fixed_base) { return Found{}; }
      return failure(fmt::format("search base \"{}\" not found", settings_.search_base_text));
    }
    ResultList results(settings_.results, key.key());
    const auto warn = [this](std::string_view line) {
      settings_.warn(fmt::format("{}: {}", settings_.table_name, line));
    };
    LdapExpansion expansion(link, results, warn);
    auto added = expansion.add(*entries, settings_.attributes);
    refused = expansion.refused();
    SP_TRY(std::move(added));
    return results.take();
  }

  const LdapSettings& settings_;
  Failover<LdapLink> servers_;
};

Result<std::unique_ptr<BlockingConnection>> LdapClient::connect() const {
  return std::make_unique<LdapConnection>(*this);
}

/// URIs are taken as they are; others are host names.
Result<std::vector<HostList::Host>> parse_servers(const ClientSource& source) {
  SP_TRY(const std::string list, source.nonempty_text("server_host", "localhost"));
  SP_TRY(const std::int64_t port, source.number("server_port", LDAP_PORT, 1, 65'535));
  std::vector<HostList::Host> servers;
  for (const std::string& item : split_hosts(list)) {
    if (item.contains("://")) {
      if (::ldap_is_ldap_url(item.c_str()) == 0 && !item.starts_with("ldapi://") && !item.starts_with("ldaps://")) {
        return failure(fmt::format("{}: server_host: not an LDAP URL: {}", source.name(), printable(item)));
      }
      servers.push_back({.name = item, .local = false});
      continue;
    }
    const HostAndPort parts = split_host_port(item);
    const std::string host = parts.host.contains(':') ? fmt::format("[{}]", parts.host) : parts.host;
    servers.push_back(
        {.name = fmt::format("ldap://{}:{}", host, parts.port.empty() ? std::to_string(port) : parts.port),
         .local = false});
  }
  if (servers.empty()) { return failure(fmt::format("{}: server_host: no server", source.name())); }
  return servers;
}

Result<LdapBind> parse_bind(const ClientSource& source) {
  const std::string value = text::to_lower(source.text("bind", "yes"));
  if (value == "yes" || value == "simple") { return LdapBind::simple; }
  if (value == "no" || value == "none") { return LdapBind::none; }
  if (value == "sasl") { return LdapBind::sasl; }
  return failure(fmt::format("{}: unsupported parameter value: bind = {}", source.name(), printable(value)));
}

Result<LdapConnectionSettings> read_connection(const ClientSource& source, std::size_t expansion_limit,
                                               const std::function<void(std::string_view)>& warn) {
  LdapConnectionSettings settings;
  SP_TRY(const std::int64_t version, source.number("version", LDAP_VERSION3));
  settings.version = static_cast<int>(version);
  if (version != LDAP_VERSION2 && version != LDAP_VERSION3) {
    warn(fmt::format("{}: unknown version {}, using 3", source.name(), version));
    settings.version = LDAP_VERSION3;
  }
  SP_TRY(settings.timeout, source.time("timeout", settings.timeout, std::chrono::seconds(1), std::chrono::hours(1)));
  SP_TRY(const std::int64_t size_limit, source.number("size_limit", static_cast<std::int64_t>(expansion_limit)));
  settings.size_limit = static_cast<int>(size_limit);
  SP_TRY(const std::int64_t dereference, source.number("dereference", 0));
  settings.dereference = static_cast<int>(dereference);
  if (dereference > LDAP_DEREF_ALWAYS) {
    warn(fmt::format("{}: unrecognized value {} specified for dereference; using 0", source.name(), dereference));
    settings.dereference = LDAP_DEREF_NEVER;
  }
  SP_TRY(const std::int64_t chase_referrals, source.number("chase_referrals", 0));
  settings.chase_referrals = chase_referrals != 0;
  SP_TRY(const std::int64_t debug_level, source.number("debuglevel", 0, -1));
  settings.debug_level = static_cast<int>(debug_level);
  SP_TRY(settings.bind, parse_bind(source));
  settings.bind_dn = source.text("bind_dn");
  settings.bind_password = source.text("bind_pw");
  settings.sasl_mechanisms = source.text("sasl_mechs");
  settings.sasl_realm = source.text("sasl_realm");
  settings.sasl_authorization_id = source.text("sasl_authz_id");
  SP_TRY(const std::int64_t strength, source.number("sasl_minssf", 0, 0, 4096));
  settings.sasl_minimum_strength = static_cast<int>(strength);
  SP_TRY(settings.start_tls, source.flag("start_tls", false));
  settings.tls_ca_directory = source.text("tls_ca_cert_dir");
  settings.tls_ca_file = source.text("tls_ca_cert_file");
  settings.tls_certificate = source.text("tls_cert");
  settings.tls_key = source.text("tls_key");
  settings.tls_random_file = source.text("tls_random_file");
  settings.tls_cipher_suite = source.text("tls_cipher_suite");
  SP_TRY(settings.tls_require_certificate, source.flag("tls_require_cert", false));
  if (settings.version != LDAP_VERSION3 && (settings.start_tls || settings.bind == LdapBind::sasl)) {
    return failure(fmt::format("{}: start_tls and bind = sasl require version = 3", source.name()));
  }
  return settings;
}

Result<LdapScope> parse_scope(const ClientSource& source, const std::function<void(std::string_view)>& warn) {
  SP_TRY(const std::string value, source.nonempty_text("scope", "sub"));
  if (text::iequals(value, "one")) { return LdapScope::one; }
  if (text::iequals(value, "base")) { return LdapScope::base; }
  if (!text::iequals(value, "sub")) {
    warn(fmt::format("{}: unrecognized value {} specified for scope; using sub", source.name(), printable(value)));
  }
  return LdapScope::sub;
}

Result<std::shared_ptr<const BlockingClient>> open_client(std::string_view name, const ModuleContext& context) {
  SP_TRY(const ClientSource source, ClientSource::open(name, context));
  LdapSettings settings;
  settings.table_name = fmt::format("ldap:{}", name);
  settings.warn = context.warn;
  SP_TRY(settings.results, ResultRules::read(source, "result_filter"));
  SP_TRY(settings.connection, read_connection(source, settings.results.expansion_limit(), context.warn));
  for (const char* dropped : {"cache", "cache_expiry", "cache_size"}) {
    if (source.find(dropped)) { context.warn(fmt::format("{}: ignoring {}", source.name(), dropped)); }
  }
  settings.search_base_text = source.text("search_base");
  SP_TRY(settings.search_base, Template::parse(settings.search_base_text, source.name(), "search_base"));
  settings.fixed_base = !settings.search_base.has_parts();
  SP_TRY(settings.scope, parse_scope(source, context.warn));
  SP_TRY(const std::string filter, source.nonempty_text("query_filter", "mailacceptinggeneralid=%s"));
  SP_TRY(settings.query_filter, Template::parse(filter, source.name(), "query_filter"));
  if (!settings.query_filter.has_parts() && settings.fixed_base) {
    context.warn(fmt::format("{}: fixed query_filter {} is probably useless", source.name(), printable(filter)));
  }
  using Kind = LdapAttributes::Kind;
  settings.attributes.add(source.text("result_attribute", "maildrop"), Kind::result);
  settings.attributes.add(source.text("special_result_attribute"), Kind::special);
  settings.attributes.add(source.text("leaf_result_attribute"), Kind::leaf);
  settings.attributes.add(source.text("terminal_result_attribute"), Kind::terminal);
  SP_TRY(const std::int64_t recursion_limit, source.number("recursion_limit", 1000, 1));
  settings.attributes.recursion_limit = static_cast<std::size_t>(recursion_limit);
  settings.domains = source.text("domain");
  SP_TRY(std::vector<HostList::Host> servers, parse_servers(source));
  return std::make_shared<const LdapClient>(std::move(settings), std::move(servers));
}

constexpr std::array<ModuleType, 1> kTypes{{{.type = "ldap", .connect = open_client}}};

}  // namespace
}  // namespace stagepost::maps

const stagepost::maps::Module stagepost_table_module{.types = stagepost::maps::kTypes};
