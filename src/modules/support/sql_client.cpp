// See sql_client.hpp.
#include "sql_client.hpp"

#include <optional>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

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
  explicit SqlConnection(const SqlClient& client) : client_(client) {}

  Result<Found> find(const std::string& key) override {
    const SqlSettings& settings = client_.settings();
    const KeyParts parts(key);
    const auto as_it_is = [](std::string_view part) -> Result<std::string> { return std::string(part); };
    SP_TRY(const auto needed, settings.query.query(parts, as_it_is));
    if (!needed || !settings.results.format().key_suffices(parts)) { return Found{}; }

    if (link_) {
      // It may have been idle for long, and the server restarted: that says nothing yet about the host.
      auto found = ask(key, parts);
      const bool lost = link_->lost();
      if (lost) { link_.reset(); }
      if (found || rejected_ || !lost) { return named(std::move(found), link_host_); }
    }
    const std::vector<std::size_t> hosts = client_.hosts().candidates();
    if (hosts.empty()) { return failure(fmt::format("all hosts failed: {}", client_.hosts().reasons())); }
    Result<Found> last = failure("no host");
    for (const std::size_t host : hosts) {
      last = try_host(host, key, parts);
      if (last || rejected_) { break; }
      if (hosts.size() > 1) { settings.warn(fmt::format("{}: {}", settings.table_name, last.error().message())); }
    }
    return last;
  }

 private:
  Result<Found> try_host(std::size_t host, const std::string& key, const KeyParts& parts) {
    rejected_ = false;
    auto made = client_.link(host);
    if (!made) {
      client_.hosts().failed(host, made.error().message());
      return named(std::unexpected(std::move(made).error()), host);
    }
    link_ = *std::move(made);
    link_host_ = host;
    auto found = ask(key, parts);
    if (found || rejected_ || !link_->lost()) {
      client_.hosts().succeeded(host);
    } else {
      client_.hosts().failed(host, found.error().message());
    }
    found = named(std::move(found), host);
    // Another host may do better with a query this one refuses.
    if (!found) { link_.reset(); }
    return found;
  }

  Result<Found> ask(const std::string& key, const KeyParts& parts) {
    const SqlSettings& settings = client_.settings();
    rejected_ = false;
    SP_TRY(const auto query,
           settings.query.query(parts, [this](std::string_view part) { return link_->escape(part); }));
    ResultList results(settings.results, key);
    bool empty = false;
    const auto visit = [&](std::string_view field) -> Result<> {
      empty = empty || field.empty();
      auto added = results.add(field);
      rejected_ = !added;
      return added;
    };
    SP_TRY(link_->ask(*query, visit));
    if (empty) {
      settings.warn(
          fmt::format("table \"{}\": empty lookup result for: \"{}\" -- ignored", settings.table_name, printable(key)));
    }
    return results.take();
  }

  [[nodiscard]] Result<Found> named(Result<Found> found, std::size_t host) const {
    if (found || rejected_) { return found; }
    return failure(host_failure(client_.hosts().name(host), found.error().message()));
  }

  const SqlClient& client_;
  std::unique_ptr<SqlLink> link_;
  std::size_t link_host_ = 0;
  /// The last answer was refused for what it was (expansion_limit).
  bool rejected_ = false;
};

}  // namespace

BlockingClient::Limits SqlClient::limits() const {
  return {.answer = 3 * settings_.timeout, .idle = settings_.idle_interval};
}

Result<std::unique_ptr<BlockingConnection>> SqlClient::connect() const {
  return std::make_unique<SqlConnection>(*this);
}

}  // namespace stagepost::maps
