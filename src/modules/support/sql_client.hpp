// What mysql and pgsql tables have in common: their settings, a query per lookup, hosts that are tried one after the
// other. What talks to one server is a SqlLink of the module.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "client_source.hpp"
#include "host_list.hpp"
#include "maps/blocking_client.hpp"
#include "query.hpp"

namespace stagepost::maps {

/// A connection to one server.
class SqlLink {
 public:
  SqlLink() = default;
  SqlLink(const SqlLink&) = delete;
  SqlLink& operator=(const SqlLink&) = delete;
  virtual ~SqlLink() = default;

  /// For the inside of a quoted string, by the rules of this connection. Error: the text cannot be quoted.
  [[nodiscard]] virtual Result<std::string> escape(std::string_view text) = 0;
  /// One field; a NULL is empty. An Error ends the query.
  using Visit = std::function<Result<>(std::string_view field)>;
  /// Runs `query` and visits each field of each row. Ends within the time limit it was made with.
  [[nodiscard]] virtual Result<> ask(const std::string& query, const Visit& visit) = 0;
  /// After a failed call: no further one can succeed.
  [[nodiscard]] virtual bool lost() const = 0;
};

/// Settings that are named and mean the same in mysql_table(5) and pgsql_table(5).
struct SqlSettings {
  std::string table_name;  ///< "type:name", for warnings
  std::string user;
  std::string password;
  std::string dbname;
  Template query;
  ResultRules results;
  std::string domains;
  std::chrono::seconds idle_interval{60};
  std::chrono::seconds retry_interval{60};
  std::chrono::seconds timeout{10};  ///< ours: for a connection to be made, and for the answer to a query
  std::function<void(std::string_view)> warn;

  /// The query is `query`, else `made_query(source)`.
  [[nodiscard]] static Result<SqlSettings> read(
      std::string_view type, std::string_view name, const ClientSource& source, const ModuleContext& context,
      const std::function<Result<std::string>(const ClientSource&)>& made_query);
};

/// "SELECT select_field FROM table WHERE where_field = '%s' additional_conditions", of the settings with these names.
[[nodiscard]] Result<std::string> query_of_parts(const ClientSource& source);

/// Items of `hosts`.
[[nodiscard]] std::vector<std::string> split_hosts(std::string_view hosts);

struct HostAndPort {
  std::string host;
  std::string port;  ///< empty: none given
};
/// "host", "host:port", "[address]" and "[address]:port".
[[nodiscard]] HostAndPort split_host_port(std::string_view text);

class SqlClient : public BlockingClient {
 public:
  SqlClient(SqlSettings settings, std::vector<HostList::Host> hosts, HostList::Order order)
      : settings_(std::move(settings)), hosts_(std::move(hosts), order, settings_.retry_interval) {}

  [[nodiscard]] Limits limits() const override;
  [[nodiscard]] std::string key_domains() const override { return settings_.domains; }
  /// Needs no server yet: the first query does.
  [[nodiscard]] Result<std::unique_ptr<BlockingConnection>> connect() const override;

  [[nodiscard]] const SqlSettings& settings() const { return settings_; }
  [[nodiscard]] HostList& hosts() const { return hosts_; }
  /// Connects to the host at `place` of the list.
  [[nodiscard]] virtual Result<std::unique_ptr<SqlLink>> link(std::size_t place) const = 0;

 private:
  SqlSettings settings_;
  mutable HostList hosts_;
};

}  // namespace stagepost::maps
