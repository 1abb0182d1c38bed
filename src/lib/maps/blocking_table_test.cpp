#include "maps/blocking_table.hpp"

#include <atomic>
#include <latch>
#include <semaphore>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/event.hpp"
#include "net/event_loop.hpp"
#include "net/task_group.hpp"

namespace stagepost::maps {
namespace {

using std::chrono::milliseconds;

/// A server whose answers the test lets go one by one.
struct Server {
  std::atomic<int> connected = 0;
  std::atomic<int> most_connected = 0;
  std::atomic<int> connections_made = 0;
  std::atomic<bool> down = false;
  std::atomic<bool> breaks = false;
  std::counting_semaphore<1000> may_answer{0};
  bool waits = false;
};

class Connection final : public BlockingConnection {
 public:
  explicit Connection(std::shared_ptr<Server> server) : server_(std::move(server)) {
    ++server_->connections_made;
    const int now = ++server_->connected;
    if (now > server_->most_connected) { server_->most_connected = now; }
  }
  ~Connection() override { --server_->connected; }
  Result<Found> find(const std::string& key) override {
    if (server_->waits) { server_->may_answer.acquire(); }
    if (key == "throw") { throw std::bad_alloc(); }
    broken_ = server_->breaks;
    if (broken_) { return failure("connection lost", std::errc::connection_reset); }
    return key == "none" ? Found{} : Found{"value of " + key};
  }
  bool usable() const override { return !broken_; }

 private:
  std::shared_ptr<Server> server_;
  bool broken_ = false;
};

class Client final : public BlockingClient {
 public:
  Client(std::shared_ptr<Server> server, Limits limits) : server_(std::move(server)), limits_(limits) {}
  Limits limits() const override { return limits_; }
  Result<std::unique_ptr<BlockingConnection>> connect() const override {
    if (server_->down) { return failure("server is down", std::errc::connection_refused); }
    return std::make_unique<Connection>(server_);
  }

 private:
  std::shared_ptr<Server> server_;
  Limits limits_;
};

std::string text_of(const Result<Found>& found) {
  if (!found) { return "error: " + found.error().message(); }
  return found->value_or("-");
}

class BlockingTableTest : public testing::Test {
 protected:
  void open(BlockingClient::Limits limits) {
    table_ = std::make_unique<BlockingTable>("sql:t", std::make_shared<Client>(server_, limits), &loop_);
  }
  net::Task<> ask(std::string key, Result<Found>* into) {
    auto answer = co_await table_->find(std::move(key));
    *into = std::move(answer);
    ++answered_;
  }
  Result<Found> find(std::string key) {
    Result<Found> answer;
    loop_.run_task(ask(std::move(key), &answer));
    return answer;
  }
  net::Task<> ask_all(std::vector<Result<Found>>* answers) {
    net::TaskGroup group(loop_, "asking", answers->size());
    for (auto& answer : *answers) { group.spawn(ask("k", &answer)); }
    // Other sessions go on while the server keeps these waiting.
    const auto slept = co_await net::sleep_until(within(milliseconds(20)));
    EXPECT_TRUE(slept);
    EXPECT_EQ(answered_, 0);
    server_->may_answer.release(static_cast<std::ptrdiff_t>(answers->size()));
    co_await group.join();
  }

  net::EventLoop loop_;
  std::shared_ptr<Server> server_ = std::make_shared<Server>();
  std::unique_ptr<BlockingTable> table_;
  int answered_ = 0;
};

TEST_F(BlockingTableTest, AnswersFromAConnectionThatIsKept) {
  open({});
  EXPECT_FALSE(table_->immediate());
  EXPECT_FALSE(table_->find_now("a").has_value());
  EXPECT_EQ(text_of(find("a")), "value of a");
  EXPECT_EQ(text_of(find("none")), "-");
  EXPECT_EQ(server_->connections_made, 1);
}

TEST_F(BlockingTableTest, ASlowServerKeepsNobodyElseWaitingAndSeesOnlySoManyConnections) {
  server_->waits = true;
  open({.connections = 3});
  std::vector<Result<Found>> answers(20);
  loop_.run_task(ask_all(&answers));
  for (const auto& answer : answers) { EXPECT_EQ(text_of(answer), "value of k"); }
  EXPECT_LE(server_->most_connected, 3);
}

TEST_F(BlockingTableTest, AFailureIsAnErrorAndTheNextLookupConnectsAgain) {
  open({});
  server_->down = true;
  const auto refused = find("a");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), testing::StartsWith("server is down"));
  server_->down = false;
  EXPECT_EQ(text_of(find("a")), "value of a");
  server_->breaks = true;
  EXPECT_FALSE(find("a"));
  server_->breaks = false;
  EXPECT_EQ(text_of(find("a")), "value of a");
  EXPECT_EQ(server_->connections_made, 2);
  EXPECT_FALSE(find("throw"));
  EXPECT_EQ(text_of(find("a")), "value of a");
}

TEST_F(BlockingTableTest, ALookupThatTakesTooLongFails) {
  server_->waits = true;
  open({.connections = 1, .answer = milliseconds(10)});
  const auto late = find("a");
  ASSERT_FALSE(late);
  EXPECT_TRUE(late.error().is(std::errc::timed_out));
  server_->may_answer.release(2);
}

TEST_F(BlockingTableTest, AQueueThatIsFullRefuses) {
  server_->waits = true;
  open({.connections = 1, .waiting = 0});
  EXPECT_FALSE(find("a"));
}

TEST_F(BlockingTableTest, AnIdleConnectionIsClosed) {
  open({.idle = milliseconds(1)});
  EXPECT_EQ(text_of(find("a")), "value of a");
  for (int i = 0; i < 1000 && server_->connected > 0; ++i) { std::this_thread::sleep_for(milliseconds(1)); }
  EXPECT_EQ(server_->connected, 0);
  EXPECT_EQ(text_of(find("a")), "value of a");
}

TEST_F(BlockingTableTest, ACommandWithoutLoopIsAnsweredAtOnce) {
  BlockingTable table("sql:t", std::make_shared<Client>(server_, BlockingClient::Limits{}), nullptr);
  EXPECT_TRUE(table.immediate());
  EXPECT_EQ(text_of(table.find_now("a").value()), "value of a");
}

}  // namespace
}  // namespace stagepost::maps
