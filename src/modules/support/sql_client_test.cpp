// Failing over, reconnecting and giving up, with servers that do as they are told.
#include "sql_client.hpp"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// What a server does. Shared with its links.
struct Server {
  bool up = true;
  bool refuses_query = false;
  int epoch = 0;  ///< counts restarts: older links are dead
  int connects = 0;
  std::vector<std::string> queries;
  std::vector<std::string> values;
};

class ScriptedLink final : public SqlLink {
 public:
  explicit ScriptedLink(Server& server) : server_(server), epoch_(server.epoch) {}
  Result<std::string> escape(std::string_view text) override { return "<" + std::string(text) + ">"; }
  Result<> ask(const std::string& query, const Visit& visit) override {
    if (!server_.up || server_.epoch != epoch_) {
      lost_ = true;
      return failure("gone away");
    }
    if (server_.refuses_query) { return failure("no such column"); }
    server_.queries.push_back(query);
    for (const std::string& value : server_.values) { SP_TRY(visit(value)); }
    return {};
  }
  bool lost() const override { return lost_; }

 private:
  Server& server_;
  int epoch_;
  bool lost_ = false;
};

class ScriptedClient final : public SqlClient {
 public:
  ScriptedClient(SqlSettings settings, std::vector<HostList::Host> hosts, std::map<std::size_t, Server>& servers)
      : SqlClient(std::move(settings), std::move(hosts), HostList::Order::as_listed), servers_(servers) {}
  Result<std::unique_ptr<SqlLink>> link(std::size_t place) const override {
    Server& server = servers_.at(place);
    ++server.connects;
    if (!server.up) { return failure("refused"); }
    return std::make_unique<ScriptedLink>(server);
  }

 private:
  std::map<std::size_t, Server>& servers_;
};

class SqlClientTest : public testing::Test {
 protected:
  SqlSettings settings(std::string_view content) {
    ModuleContext context;
    context.warn = [this](std::string_view line) { warnings_.emplace_back(line); };
    const ClientSource source = ClientSource::parse(content, "f", {}).value();
    return SqlSettings::read("sql", "f", source, context, query_of_parts).value();
  }
  void make(std::string_view content, std::size_t hosts) {
    std::vector<HostList::Host> list;
    for (std::size_t i = 0; i < hosts; ++i) {
      list.push_back({.name = "host" + std::to_string(i)});
      servers_[i].values = {"v" + std::to_string(i)};
    }
    client_ = std::make_unique<ScriptedClient>(settings(content), std::move(list), servers_);
    connection_ = client_->connect().value();
  }
  std::string look(const std::string& key) {
    auto found = connection_->find(key);
    if (!found) { return "error: " + found.error().message(); }
    return found->value_or("-");
  }

  std::vector<std::string> warnings_;
  std::map<std::size_t, Server> servers_;
  std::unique_ptr<ScriptedClient> client_;
  std::unique_ptr<BlockingConnection> connection_;
};

TEST_F(SqlClientTest, AsksWithQuotedParts) {
  make("query = select '%s' '%d'", 1);
  EXPECT_EQ(look("u@d"), "v0");
  EXPECT_THAT(servers_[0].queries, ElementsAre("select '<u@d>' '<d>'"));
}

TEST_F(SqlClientTest, NoServerIsNeededForWhatNeedNotBeAsked) {
  make("query = select '%d'", 1);
  servers_[0].up = false;
  EXPECT_EQ(look("u"), "-");
  EXPECT_EQ(servers_[0].connects, 0);
  make("query = select '%s'\nresult_format = %s@%D", 1);
  EXPECT_EQ(look("u"), "-");
  EXPECT_EQ(servers_[0].connects, 0);
}

TEST_F(SqlClientTest, ARestartedServerIsAskedAgainAtOnce) {
  make("query = select '%s'", 1);
  EXPECT_EQ(look("k"), "v0");
  ++servers_[0].epoch;
  EXPECT_EQ(look("k"), "v0");
  EXPECT_EQ(servers_[0].connects, 2);
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(SqlClientTest, ADownServerIsAnErrorWithItsNameUntilItIsBack) {
  make("query = select '%s'", 1);
  servers_[0].up = false;
  EXPECT_EQ(look("k"), "error: host host0: refused");
  servers_[0].up = true;
  EXPECT_EQ(look("k"), "v0");
  servers_[0].up = false;
  EXPECT_EQ(look("k"), "error: host host0: refused");
}

TEST_F(SqlClientTest, TheNextHostAnswersAndTheFailedOneIsLeftAlone) {
  make("query = select '%s'", 2);
  servers_[0].up = false;
  EXPECT_EQ(look("k"), "v1");
  EXPECT_THAT(warnings_, ElementsAre("sql:f: host host0: refused"));
  ++servers_[1].epoch;
  EXPECT_EQ(look("k"), "v1");
  EXPECT_EQ(servers_[0].connects, 1);
  servers_[1].up = false;
  EXPECT_EQ(look("k"), "error: host host1: refused");
  EXPECT_EQ(look("k"), "error: all hosts failed: host host0: refused; host host1: refused");
  EXPECT_EQ(servers_[0].connects, 1);
}

TEST_F(SqlClientTest, AQueryThatOneHostRefusesIsNotTheHostsEnd) {
  make("query = select '%s'", 2);
  servers_[0].refuses_query = true;
  EXPECT_EQ(look("k"), "v1");
  servers_[1].refuses_query = true;
  EXPECT_EQ(look("k"), "error: host host1: no such column");
  servers_[0].refuses_query = false;
  servers_[1].up = false;
  EXPECT_EQ(look("k"), "v0");
}

TEST_F(SqlClientTest, TooManyValuesAreAnErrorWithoutAskingAnybodyElse) {
  make("query = select '%s'\nexpansion_limit = 1", 2);
  servers_[0].values = {"a", "b"};
  EXPECT_THAT(look("k"), HasSubstr("error: expansion limit exceeded for key: \"k\""));
  EXPECT_EQ(servers_[1].connects, 0);
  servers_[0].values = {"a"};
  EXPECT_EQ(look("k"), "a");
}

TEST_F(SqlClientTest, EmptyValuesAreWarnedAbout) {
  make("query = select '%s'", 1);
  servers_[0].values = {"", "a", ""};
  EXPECT_EQ(look("k"), "a");
  EXPECT_THAT(warnings_, ElementsAre("table \"sql:f\": empty lookup result for: \"k\" -- ignored"));
  servers_[0].values = {""};
  EXPECT_EQ(look("k"), "-");
}

TEST_F(SqlClientTest, BuildsTheQueryOfOlderSettings) {
  make("table = t\nselect_field = v\nwhere_field = k\nadditional_conditions = and x = 1", 1);
  EXPECT_EQ(look("k"), "v0");
  EXPECT_THAT(servers_[0].queries, ElementsAre("SELECT v FROM t WHERE k = '<k>' and x = 1"));
}

TEST(SqlSettings, RefusesWhatIsMissing) {
  ModuleContext context;
  const auto read = [&](std::string_view content) {
    const auto source = ClientSource::parse(content, "f", {}).value();
    const auto settings = SqlSettings::read("sql", "f", source, context, query_of_parts);
    return settings ? std::string() : settings.error().message();
  };
  EXPECT_THAT(read(""), HasSubstr("bad string length 0 < 1: table ="));
  EXPECT_THAT(read("table = t"), HasSubstr("select_field ="));
  EXPECT_THAT(read("query = %x"), HasSubstr("invalid query template"));
  EXPECT_THAT(read("query = x\nidle_interval = 0"), HasSubstr("idle_interval"));
  EXPECT_THAT(read("query = x\ntimeout = 5000"), HasSubstr("timeout"));
  EXPECT_EQ(read("query = x\ntimeout = 1h"), "");
}

TEST(SplitHostPort, KnowsAddresses) {
  const auto split = [](std::string_view text) {
    const HostAndPort parts = split_host_port(text);
    return parts.host + "|" + parts.port;
  };
  EXPECT_EQ(split("h"), "h|");
  EXPECT_EQ(split("h:1"), "h|1");
  EXPECT_EQ(split("[::1]:1"), "::1|1");
  EXPECT_EQ(split("[::1]"), "::1|");
  EXPECT_EQ(split("::1"), "::1|");
  EXPECT_THAT(split_hosts(" a,b\n c "), ElementsAre("a", "b", "c"));
}

}  // namespace
}  // namespace stagepost::maps
