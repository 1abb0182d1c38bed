// See sql_client.hpp.
#include "sql_client.hpp"

#include <optional>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "failover.hpp"

namespace stagepost::maps {

Result<SqlSettings> SqlSettings::read(std::string_view type, std::string_view name, const ClientSource& source,
                                      const ModuleContext& context,
                                      const std::function<Result<std::string>(const ClientSource&)>& made_query) {
  SqlSettings settings;
  settings.table_name = fmt::format("{}:{}", type, name);
  settings.user = source.text("user");
  settings.password = source.text("password");
  settings.dbname = source.text("dbname");
  std::string query = source.text("query");
  if (query.empty()) { SP_TRY(query, made_query(source)); }
  SP_TRY(settings.query, Template::parse(query, source.name(), "query"));
  SP_TRY(settings.results, ResultRules::read(source));
  settings.domains = source.text("domain");
  SP_TRY(settings.idle_interval, source.time("idle_interval", settings.idle_interval));
  SP_TRY(settings.retry_interval, source.time("retry_interval", settings.retry_interval));
  SP_TRY(settings.timeout,
         source.time("timeout", settings.timeout, std::chrono::seconds(1), std::chrono::seconds(3600)));
  settings.warn = context.warn;
  return settings;
}

Result<std::string> query_of_parts(const ClientSource& source) {
  SP_TRY(const std::string table, source.required_text("table"));
  SP_TRY(const std::string select_field, source.required_text("select_field"));
  SP_TRY(const std::string where_field, source.required_text("where_field"));
  return fmt::format("SELECT {} FROM {} WHERE {} = '%s' {}", select_field, table, where_field,
                     source.text("additional_conditions"));
}

std::vector<std::string> split_hosts(std::string_view hosts) {
  std::vector<std::string> items;
  for (const std::string_view item : text::split(hosts, ", \t\r\n")) { items.emplace_back(item); }
  return items;
}

HostAndPort split_host_port(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end != std::string_view::npos) {
      const std::string_view rest = text.substr(end + 1);
      return {.host = std::string(text.substr(1, end - 1)),
              .port = rest.starts_with(':') ? std::string(rest.substr(1)) : std::string()};
    }
  }
  const std::size_t colon = text.rfind(':');
  // More than one colon: an IPv6 address.
  if (colon == std::string_view::npos || text.find(':') != colon) { return {.host = std::string(text), .port = {}}; }
  return {.host = std::string(text.substr(0, colon)), .port = std::string(text.substr(colon + 1))};
}

namespace {

class SqlConnection final : public BlockingConnection {
 public:
  explicit SqlConnection(const SqlClient& client)
      : settings_(client.settings()),
        servers_(
            client.hosts(), settings_.table_name, [&client](std::size_t host) { return client.link(host); },
            settings_.warn) {}

  Result<Found> find(const std::string& key) override {
    const KeyParts parts(key);
    const auto as_it_is = [](std::string_view part) -> Result<std::string> { return std::string(part); };
    SP_TRY(const auto needed, settings_.query.query(parts, as_it_is));
    if (!needed || !settings_.results.format().key_suffices(parts)) { return Found{}; }
    return servers_.call([&](SqlLink& link) {
      Asked asked;
      asked.found = ask(link, parts, asked.refused);
      return asked;
    });
  }

 private:
  Result<Found> ask(SqlLink& link, const KeyParts& key, bool& refused) const {
    SP_TRY(const auto query, settings_.query.query(key, [&](std::string_view part) { return link.escape(part); }));
    ResultList results(settings_.results, key.key());
    bool empty = false;
    const auto visit = [&](std::string_view field) -> Result<> {
      empty = empty || field.empty();
      auto added = results.add(field);
      refused = !added;
      return added;
    };
    SP_TRY(link.ask(*query, visit));
    if (empty) {
      settings_.warn(fmt::format("table \"{}\": empty lookup result for: \"{}\" -- ignored", settings_.table_name,
                                 printable(key.key())));
    }
    return results.take();
  }

  const SqlSettings& settings_;
  Failover<SqlLink> servers_;
};

}  // namespace

BlockingClient::Limits SqlClient::limits() const {
  return {.answer = 3 * settings_.timeout, .idle = settings_.idle_interval};
}

Result<std::unique_ptr<BlockingConnection>> SqlClient::connect() const {
  return std::make_unique<SqlConnection>(*this);
}

}  // namespace stagepost::maps
