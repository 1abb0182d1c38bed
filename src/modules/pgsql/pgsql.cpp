// pgsql: tables, pgsql_table(5): a PostgreSQL server is asked through libpq. Its non-blocking calls are used, so that
// every wait has an end.
#include <algorithm>
#include <array>
#include <cstring>
#include <libpq-fe.h>
#include <memory>
#include <optional>
#include <poll.h>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "base/text.hpp"
#include "maps/module.hpp"
#include "sql_client.hpp"

namespace stagepost::maps {
namespace {

struct ConnectionEnd {
  void operator()(PGconn* connection) const { ::PQfinish(connection); }
};
struct ResultEnd {
  void operator()(PGresult* result) const { ::PQclear(result); }
};
struct OptionsEnd {
  void operator()(PQconninfoOption* options) const { ::PQconninfoFree(options); }
};
using Connection = std::unique_ptr<PGconn, ConnectionEnd>;
using Answer = std::unique_ptr<PGresult, ResultEnd>;
using Options = std::unique_ptr<PQconninfoOption, OptionsEnd>;

/// Keyword and value of each connection parameter that is set.
using Parameters = std::vector<std::pair<std::string, std::string>>;

/// False: the deadline came first.
bool wait_for(int socket, short events, Deadline deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.at() - SteadyClock::now());
    if (left.count() <= 0) { return false; }
    struct pollfd one{.fd = socket, .events = events, .revents = 0};
    const int ready = ::poll(&one, 1, static_cast<int>(left.count()));
    // EINTR and the like: the deadline decides.
    if (ready > 0) { return true; }
  }
}

class PgsqlLink final : public SqlLink {
 public:
  PgsqlLink(Connection connection, std::chrono::seconds timeout, bool escape_strings)
      : connection_(std::move(connection)), timeout_(timeout), escape_strings_(escape_strings) {}

  Result<std::string> escape(std::string_view text) override {
    // E'...' takes backslashes for itself, which the escaping of standard strings leaves alone.
    if (escape_strings_ && text.contains('\\')) { return failure("no backslash can be put into an E'' string"); }
    std::string escaped(2 * text.size() + 1, '\0');
    int wrong = 0;
    const std::size_t length =
        ::PQescapeStringConn(connection_.get(), escaped.data(), text.data(), text.size(), &wrong);
    if (wrong != 0) { return failure(std::string("cannot quote the key: ") + ::PQerrorMessage(connection_.get())); }
    escaped.resize(length);
    return escaped;
  }

  Result<> ask(const std::string& query, const Visit& visit) override {
    const Deadline deadline = within(timeout_);
    PGconn* connection = connection_.get();
    // What is left unread of an answer would be taken for the next one's.
    lost_ = true;
    if (::PQsendQuery(connection, query.c_str()) == 0 || ::PQsetSingleRowMode(connection) == 0) { return broken(); }
    SP_TRY(flush(deadline));
    std::optional<Error> refused;
    while (true) {
      SP_TRY(const Answer answer, next_answer(deadline));
      if (!answer) { break; }
      switch (::PQresultStatus(answer.get())) {
        case PGRES_SINGLE_TUPLE:
        case PGRES_TUPLES_OK:
          SP_TRY(visit_rows(answer.get(), visit));
          break;
        // A command that returns nothing: then nothing was found.
        case PGRES_COMMAND_OK:
          break;
        case PGRES_EMPTY_QUERY:
        case PGRES_FATAL_ERROR:
        case PGRES_NONFATAL_ERROR:
        case PGRES_BAD_RESPONSE: {
          const char* message = ::PQresultErrorMessage(answer.get());
          if (!refused) { refused = Error{failure("").error().code, message}; }
          break;
        }
        default:
          return failure("unexpected kind of answer");
      }
    }
    lost_ = ::PQstatus(connection) != CONNECTION_OK;
    if (refused) { return std::unexpected(Error{refused->code, "query failed: " + refused->context}); }
    return {};
  }

  bool lost() const override { return lost_; }

 private:
  Result<> visit_rows(const PGresult* answer, const Visit& visit) const {
    const int columns = ::PQnfields(answer);
    for (int row = 0; row < ::PQntuples(answer); ++row) {
      for (int column = 0; column < columns; ++column) {
        SP_TRY(
            visit({::PQgetvalue(answer, row, column), static_cast<std::size_t>(::PQgetlength(answer, row, column))}));
      }
    }
    return {};
  }

  Result<> flush(Deadline deadline) {
    while (true) {
      const int more = ::PQflush(connection_.get());
      if (more < 0) { return broken(); }
      if (more == 0) { return {}; }
      if (!wait_for(::PQsocket(connection_.get()), POLLIN | POLLOUT, deadline)) { return too_late(); }
      if (::PQconsumeInput(connection_.get()) == 0) { return broken(); }
    }
  }

  /// Null: that was the last one.
  Result<Answer> next_answer(Deadline deadline) {
    while (::PQisBusy(connection_.get()) != 0) {
      if (!wait_for(::PQsocket(connection_.get()), POLLIN, deadline)) { return too_late(); }
      if (::PQconsumeInput(connection_.get()) == 0) { return broken(); }
    }
    // A server may send rows for ever.
    if (deadline.passed()) { return too_late(); }
    return Answer(::PQgetResult(connection_.get()));
  }

  [[nodiscard]] std::unexpected<Error> broken() const {
    return failure(fmt::format("query failed: {}", ::PQerrorMessage(connection_.get())));
  }
  [[nodiscard]] std::unexpected<Error> too_late() const {
    return failure(fmt::format("no answer within {} seconds", timeout_.count()));
  }

  Connection connection_;
  std::chrono::seconds timeout_;
  bool escape_strings_;
  bool lost_ = false;
};

Result<Connection> connect_to(const Parameters& parameters, std::chrono::seconds timeout) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parameters) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  const Deadline deadline = within(timeout);
  Connection connection(::PQconnectStartParams(keywords.data(), values.data(), 0));
  if (!connection) { return failure("connect: out of memory", std::errc::not_enough_memory); }
  PGconn* raw = connection.get();
  // What a server has to say is said in errors; notices are not for stderr.
  (void)::PQsetNoticeProcessor(raw, [](void*, const char*) {}, nullptr);
  PostgresPollingStatusType step = PGRES_POLLING_WRITING;
  if (::PQstatus(raw) == CONNECTION_BAD) { step = PGRES_POLLING_FAILED; }
  while (step == PGRES_POLLING_READING || step == PGRES_POLLING_WRITING) {
    const short events = step == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (!wait_for(::PQsocket(raw), events, deadline)) {
      return failure(fmt::format("connect: not done within {} seconds", timeout.count()));
    }
    step = ::PQconnectPoll(raw);
  }
  if (step != PGRES_POLLING_OK) { return failure(fmt::format("connect: {}", ::PQerrorMessage(raw))); }
  if (::PQsetnonblocking(raw, 1) != 0) { return failure(fmt::format("connect: {}", ::PQerrorMessage(raw))); }
  return connection;
}

bool is_uri(std::string_view host) { return host.starts_with("postgresql://") || host.starts_with("postgres://"); }

/// "E'" that does not end a longer word.
bool has_escape_strings(std::string_view query) {
  for (std::size_t i = 0; i + 1 < query.size(); ++i) {
    if (text::lower(query[i]) != 'e' || query[i + 1] != '\'') { continue; }
    if (i == 0 || !(text::is_alnum(query[i - 1]) || query[i - 1] == '_')) { return true; }
  }
  return false;
}

/// A host and what it takes to connect to it.
struct PgsqlHost {
  HostList::Host host;
  Parameters parameters;
};

/// The historical forms: the prefixes say nothing that the rest does not.
PgsqlHost plain_host(std::string_view item) {
  PgsqlHost made{.host = {.name = std::string(item), .local = false}, .parameters = {}};
  std::string_view rest = item;
  for (const std::string_view prefix : {"unix:", "inet:"}) {
    if (rest.starts_with(prefix)) { rest.remove_prefix(prefix.size()); }
  }
  if (rest.starts_with('/')) {
    made.host.local = true;
    // libpq wants the directory; the name of the socket file tells the port.
    constexpr std::string_view kSocket = "/.s.PGSQL.";
    const std::size_t socket = rest.rfind(kSocket);
    const auto port =
        socket == std::string_view::npos ? std::nullopt : text::parse_unsigned(rest.substr(socket + kSocket.size()));
    if (port) {
      made.parameters.emplace_back("port", std::to_string(*port));
      rest = rest.substr(0, std::max<std::size_t>(socket, 1));
    }
    made.parameters.emplace_back("host", rest);
    return made;
  }
  HostAndPort parts = split_host_port(rest);
  made.parameters.emplace_back("host", std::move(parts.host));
  if (!parts.port.empty()) { made.parameters.emplace_back("port", std::move(parts.port)); }
  return made;
}

Result<PgsqlHost> uri_host(const std::string& item, const std::string& source) {
  char* message = nullptr;
  const Options options(::PQconninfoParse(item.c_str(), &message));
  if (!options) {
    std::string reason = message != nullptr ? message : "out of memory";
    ::PQfreemem(message);
    // The message may quote the URI, and that may have a password.
    while (reason.ends_with('\n')) { reason.pop_back(); }
    if (reason.contains("://")) { reason = "bad syntax"; }
    return failure(fmt::format("{}: hosts: bad connection URI: {}", source, reason));
  }
  PgsqlHost made;
  std::string host = "localhost";
  std::string port;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr) { continue; }
    made.parameters.emplace_back(option->keyword, option->val);
    if (std::string_view(option->keyword) == "host") { host = option->val; }
    if (std::string_view(option->keyword) == "port") { port = option->val; }
  }
  made.host = {.name = port.empty() ? host : fmt::format("{}:{}", host, port), .local = host.starts_with('/')};
  return made;
}

void set_unless_there(Parameters& parameters, std::string_view keyword, const std::string& value) {
  const bool there = std::ranges::any_of(parameters, [&](const auto& one) { return one.first == keyword; });
  if (!there && !value.empty()) { parameters.emplace_back(keyword, value); }
}

class PgsqlClient final : public SqlClient {
 public:
  PgsqlClient(SqlSettings settings, std::vector<HostList::Host> hosts, std::vector<Parameters> parameters,
              bool escape_strings)
      : SqlClient(std::move(settings), std::move(hosts), HostList::Order::random),
        parameters_(std::move(parameters)),
        escape_strings_(escape_strings) {}

  Result<std::unique_ptr<SqlLink>> link(std::size_t place) const override {
    SP_TRY(Connection connection, connect_to(parameters_[place], settings().timeout));
    return std::make_unique<PgsqlLink>(std::move(connection), settings().timeout, escape_strings_);
  }

 private:
  std::vector<Parameters> parameters_;
  bool escape_strings_;
};

Result<std::string> older_query(const ClientSource& source) {
  const std::string function = source.text("select_function");
  if (!function.empty()) { return fmt::format("SELECT {}('%s')", function); }
  return query_of_parts(source);
}

Result<std::shared_ptr<const BlockingClient>> open_client(std::string_view name, const ModuleContext& context) {
  SP_TRY(const ClientSource source, ClientSource::open(name, context));
  SP_TRY(SqlSettings settings, SqlSettings::read("pgsql", name, source, context, older_query));
  SP_TRY(const std::string encoding, source.nonempty_text("encoding", "UTF8"));
  std::vector<std::string> items = split_hosts(source.text("hosts"));
  if (items.empty()) { items.emplace_back("localhost"); }
  std::vector<HostList::Host> hosts;
  std::vector<Parameters> parameters;
  for (const std::string& item : items) {
    PgsqlHost host;
    if (is_uri(item)) {
      SP_TRY(host, uri_host(item, source.name()));
    } else {
      if (settings.dbname.empty()) { SP_TRY(source.required_text("dbname")); }
      host = plain_host(item);
    }
    set_unless_there(host.parameters, "user", settings.user);
    set_unless_there(host.parameters, "password", settings.password);
    set_unless_there(host.parameters, "dbname", settings.dbname);
    set_unless_there(host.parameters, "client_encoding", encoding);
    hosts.push_back(std::move(host.host));
    parameters.push_back(std::move(host.parameters));
  }
  const bool escape_strings = has_escape_strings(source.text("query"));
  return std::make_shared<const PgsqlClient>(std::move(settings), std::move(hosts), std::move(parameters),
                                             escape_strings);
}

constexpr std::array<ModuleType, 1> kTypes{{{.type = "pgsql", .connect = open_client}}};

}  // namespace
}  // namespace stagepost::maps

const stagepost::maps::Module stagepost_table_module{.types = stagepost::maps::kTypes};
