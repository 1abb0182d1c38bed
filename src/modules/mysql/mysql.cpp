// mysql: tables, mysql_table(5): a MySQL or MariaDB server is asked through MariaDB's client library.
#include <array>
#include <memory>
#include <mutex>
#include <mysql.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "base/text.hpp"
#include "maps/module.hpp"
#include "sql_client.hpp"

namespace stagepost::maps {
namespace {

// Codes of the client library (errmsg.h of MariaDB) are 2000 to 2999 and 5000 to 5999; those of the server are not.
bool is_client_error(unsigned code) { return (code >= 2000 && code < 3000) || (code >= 5000 && code < 6000); }
// Errors with which a server ends a connection.
constexpr unsigned kServerShutdown = 1053;
constexpr unsigned kConnectionKilled = 1927;

struct ConnectionEnd {
  void operator()(MYSQL* connection) const { ::mysql_close(connection); }
};
struct ResultEnd {
  void operator()(MYSQL_RES* result) const { ::mysql_free_result(result); }
};
using Connection = std::unique_ptr<MYSQL, ConnectionEnd>;
using Answer = std::unique_ptr<MYSQL_RES, ResultEnd>;

/// What a query must return.
enum class ResultSet : std::uint8_t { required, optional };

class MysqlLink final : public SqlLink {
 public:
  MysqlLink(Connection connection, std::chrono::seconds timeout, ResultSet result_set, bool double_quotes)
      : connection_(std::move(connection)), timeout_(timeout), result_set_(result_set), double_quotes_(double_quotes) {}

  Result<std::string> escape(std::string_view text) override {
    // Then only ' is escaped, by doubling it.
    const bool plain_backslash = (connection_->server_status & SERVER_STATUS_NO_BACKSLASH_ESCAPES) != 0;
    if (plain_backslash && double_quotes_ && text.contains('"')) {
      return failure("no double quote can be put into a \"\" string with NO_BACKSLASH_ESCAPES");
    }
    std::string escaped(2 * text.size() + 1, '\0');
    const unsigned long length =
        ::mysql_real_escape_string(connection_.get(), escaped.data(), text.data(), text.size());
    if (length == static_cast<unsigned long>(-1)) { return failure("cannot quote the key"); }
    escaped.resize(length);
    return escaped;
  }

  Result<> ask(const std::string& query, const Visit& visit) override {
    const Deadline deadline = within(timeout_);
    MYSQL* connection = connection_.get();
    lost_ = false;
    if (::mysql_real_query(connection, query.data(), query.size()) != 0) { return broken(); }
    std::size_t result_sets = 0;
    // A stored procedure returns the result set of its SELECT and then its own end.
    while (true) {
      Answer answer(::mysql_use_result(connection));
      if (answer) {
        if (++result_sets > 1) {
          give_up();
          return failure("query failed: more than one result set");
        }
        SP_TRY(visit_rows(answer.get(), visit, deadline));
      } else if (::mysql_field_count(connection) != 0) {
        return broken();
      }
      answer.reset();
      const int next = ::mysql_next_result(connection);
      if (next > 0) { return broken(); }
      if (next < 0) { break; }
    }
    if (result_sets == 0 && result_set_ == ResultSet::required) {
      return failure("query failed: query returned no result set (require_result_set = yes)");
    }
    return {};
  }

  bool lost() const override { return lost_; }

 private:
  Result<> visit_rows(MYSQL_RES* answer, const Visit& visit, Deadline deadline) {
    const unsigned columns = ::mysql_num_fields(answer);
    while (MYSQL_ROW row = ::mysql_fetch_row(answer)) {
      const unsigned long* lengths = ::mysql_fetch_lengths(answer);
      for (unsigned column = 0; column < columns; ++column) {
        const bool null = row[column] == nullptr;
        auto visited = visit(null ? std::string_view() : std::string_view(row[column], lengths[column]));
        if (!visited) {
          give_up();
          return visited;
        }
      }
      // The library's limit is for each piece that is read, and a server may send rows for ever.
      if (deadline.passed()) {
        give_up();
        return failure(fmt::format("no whole answer within {} seconds", timeout_.count()));
      }
    }
    if (::mysql_errno(connection_.get()) != 0) { return broken(); }
    return {};
  }

  /// The library would read the rest of an answer before it lets go of it.
  void give_up() {
    ::shutdown(static_cast<int>(::mysql_get_socket(connection_.get())), SHUT_RDWR);
    lost_ = true;
  }

  std::unexpected<Error> broken() {
    const unsigned code = ::mysql_errno(connection_.get());
    lost_ = is_client_error(code) || code == kServerShutdown || code == kConnectionKilled;
    return failure(fmt::format("query failed: {}", ::mysql_error(connection_.get())));
  }

  Connection connection_;
  std::chrono::seconds timeout_;
  ResultSet result_set_;
  bool double_quotes_;
  bool lost_ = false;
};

/// Settings of mysql_table(5) alone.
struct MysqlSettings {
  std::string charset;
  std::string option_file;
  std::string option_group;
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string tls_ca_file;
  std::string tls_ca_path;
  std::string tls_ciphers;
  bool tls_verify_cert = false;
  ResultSet result_set = ResultSet::required;
  bool double_quotes = false;

  [[nodiscard]] bool uses_tls() const {
    return tls_verify_cert || !(tls_cert_file.empty() && tls_key_file.empty() && tls_ca_file.empty() &&
                                tls_ca_path.empty() && tls_ciphers.empty());
  }
};

struct Address {
  std::string host;    ///< empty with `socket`
  std::string socket;  ///< path
  unsigned port = 0;   ///< 0: the library's default
};

const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

class MysqlClient final : public SqlClient {
 public:
  MysqlClient(SqlSettings settings, std::vector<HostList::Host> hosts, std::vector<Address> addresses,
              MysqlSettings own)
      : SqlClient(std::move(settings), std::move(hosts), HostList::Order::local_then_random),
        addresses_(std::move(addresses)),
        own_(std::move(own)) {}

  Result<std::unique_ptr<SqlLink>> link(std::size_t place) const override {
    static std::once_flag initialized;
    std::call_once(initialized, [] { (void)::mysql_library_init(0, nullptr, nullptr); });
    Connection connection(::mysql_init(nullptr));
    if (!connection) { return failure("connect: out of memory"); }
    MYSQL* raw = connection.get();
    set_options(raw);
    const Address& to = addresses_[place];
    if (::mysql_real_connect(raw, or_null(to.host), or_null(settings().user), or_null(settings().password),
                             or_null(settings().dbname), to.port, or_null(to.socket),
                             CLIENT_MULTI_RESULTS) == nullptr) {
      return failure(fmt::format("connect: {}", ::mysql_error(raw)));
    }
    return std::make_unique<MysqlLink>(std::move(connection), settings().timeout, own_.result_set, own_.double_quotes);
  }

 private:
  void set_options(MYSQL* raw) const {
    if (!own_.option_file.empty()) { (void)::mysql_options(raw, MYSQL_READ_DEFAULT_FILE, own_.option_file.c_str()); }
    if (!own_.option_group.empty()) { (void)::mysql_options(raw, MYSQL_READ_DEFAULT_GROUP, own_.option_group.c_str()); }
    const auto seconds = static_cast<unsigned>(settings().timeout.count());
    (void)::mysql_options(raw, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    (void)::mysql_options(raw, MYSQL_OPT_READ_TIMEOUT, &seconds);
    (void)::mysql_options(raw, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
    (void)::mysql_options(raw, MYSQL_SET_CHARSET_NAME, own_.charset.c_str());
    // A server must not be able to ask for files of this machine.
    const unsigned no = 0;
    (void)::mysql_options(raw, MYSQL_OPT_LOCAL_INFILE, &no);
    if (!own_.uses_tls()) { return; }
    (void)::mysql_ssl_set(raw, or_null(own_.tls_key_file), or_null(own_.tls_cert_file), or_null(own_.tls_ca_file),
                          or_null(own_.tls_ca_path), or_null(own_.tls_ciphers));
    // Who configured TLS does not want the password to go out without it.
    const my_bool enforce = 1;
    (void)::mysql_options(raw, MYSQL_OPT_SSL_ENFORCE, &enforce);
    const my_bool verify = own_.tls_verify_cert ? 1 : 0;
    (void)::mysql_options(raw, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  }

  std::vector<Address> addresses_;
  MysqlSettings own_;
};

Result<Address> parse_host(std::string_view item, const std::string& source) {
  Address address;
  if (item.starts_with("unix:")) {
    address.socket = item.substr(5);
    if (address.socket.empty()) { return failure(fmt::format("{}: hosts: no path in \"{}\"", source, item)); }
    return address;
  }
  if (item.starts_with("inet:")) { item.remove_prefix(5); }
  HostAndPort parts = split_host_port(item);
  address.host = std::move(parts.host);
  if (parts.port.empty()) { return address; }
  const auto port = text::parse_unsigned(parts.port);
  if (!port || *port == 0 || *port > 65'535) {
    return failure(fmt::format("{}: hosts: bad port in \"{}\"", source, item));
  }
  address.port = static_cast<unsigned>(*port);
  return address;
}

Result<std::shared_ptr<const BlockingClient>> open_client(std::string_view name, const ModuleContext& context) {
  SP_TRY(const ClientSource source, ClientSource::open(name, context));
  SP_TRY(SqlSettings settings, SqlSettings::read("mysql", name, source, context, query_of_parts));
  SP_TRY(source.required_text("dbname"));
  MysqlSettings own;
  SP_TRY(own.charset, source.nonempty_text("charset", "utf8mb4"));
  own.option_file = source.text("option_file");
  own.option_group = source.text("option_group", "client");
  own.tls_cert_file = source.text("tls_cert_file");
  own.tls_key_file = source.text("tls_key_file");
  own.tls_ca_file = source.text("tls_CAfile");
  own.tls_ca_path = source.text("tls_CApath");
  own.tls_ciphers = source.text("tls_ciphers");
  SP_TRY(own.tls_verify_cert, source.flag("tls_verify_cert", false));
  SP_TRY(const bool result_set_required, source.flag("require_result_set", true));
  own.result_set = result_set_required ? ResultSet::required : ResultSet::optional;
  own.double_quotes = source.text("query").contains('"') || source.text("additional_conditions").contains('"');
  std::vector<std::string> items = split_hosts(source.text("hosts"));
  if (items.empty()) { items.emplace_back("localhost"); }
  std::vector<HostList::Host> hosts;
  std::vector<Address> addresses;
  for (const std::string& item : items) {
    SP_TRY(Address address, parse_host(item, source.name()));
    hosts.push_back({.name = item, .local = !address.socket.empty()});
    addresses.push_back(std::move(address));
  }
  return std::make_shared<const MysqlClient>(std::move(settings), std::move(hosts), std::move(addresses),
                                             std::move(own));
}

constexpr std::array<ModuleType, 1> kTypes{{{.type = "mysql", .connect = open_client}}};

}  // namespace
}  // namespace stagepost::maps

const stagepost::maps::Module stagepost_table_module{.types = stagepost::maps::kTypes};
