// socketmap: and tcp: tables against servers of the test. What the protocols say is in network_protocol_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maps/listening_fixture.hpp"
#include "maps/server_connections.hpp"
#include "maps/socketmap_protocol.hpp"
#include "net/buffered_stream.hpp"
#include "net/event.hpp"

namespace stagepost::maps {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

class NetworkTable : public Listening {
 protected:
  /// The key of the next request on a socketmap connection; empty: the client closed it.
  static net::Task<std::string> next_key(net::BufferedStream& stream) {
    for (;;) {
      const auto whole = parse_netstring(stream.buffered(), 1000);
      if (whole && *whole) {
        const std::string payload((*whole)->payload);
        stream.consume((*whole)->size_bytes);
        co_return payload.substr(payload.find(' ') + 1);
      }
      const auto more = co_await stream.peek_more(within(seconds(10)));
      if (!more) { co_return std::string(); }
    }
  }
  static net::Task<> reply(net::BufferedStream& stream, std::string text) {
    stream.append(std::to_string(text.size()) + ":" + text + ",");
    const auto sent = co_await stream.flush(within(seconds(10)));
    EXPECT_TRUE(sent);
  }
  static net::Task<> answer_all(std::unique_ptr<net::Stream> transport, int /*number*/) {
    net::BufferedStream stream(std::move(transport));
    for (;;) {
      const std::string key = co_await next_key(stream);
      if (key.empty()) { co_return; }
      co_await reply(stream, key == "none" ? "NOTFOUND " : "OK <" + key + ">");
    }
  }
  std::unique_ptr<Table> socketmap() { return table("socketmap:unix:" + path("s") + ":map"); }
};

TEST_F(NetworkTable, KeepsItsConnection) {
  const auto one = socketmap();
  EXPECT_FALSE(one->immediate());
  EXPECT_EQ(one->key_kind(), KeyKind::pattern);
  run("s", answer_all, [&]() -> net::Task<> {
    for (const auto& [key, value] : {std::pair("a", "<a>"), std::pair("none", "-"), std::pair("B b", "<B b>")}) {
      const std::string found = co_await ask(*one, key);
      EXPECT_EQ(found, value);
    }
  });
  EXPECT_EQ(connections_, 1);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(NetworkTable, ASlowAnswerHoldsUpNobody) {
  const auto one = socketmap();
  net::Event go(loop_);
  bool went = false;
  std::string slow;
  const Serve serve = [&](std::unique_ptr<net::Stream> transport, int /*number*/) -> net::Task<> {
    net::BufferedStream stream(std::move(transport));
    for (;;) {
      const std::string key = co_await next_key(stream);
      if (key.empty()) { co_return; }
      while (key == "slow" && !went) {
        const auto woken = co_await go.wait(within(seconds(10)));
        if (!woken) { co_return; }
      }
      co_await reply(stream, "OK " + key);
    }
  };
  const auto ask_slow = [&]() -> net::Task<> { slow = co_await ask(*one, "slow"); };
  run("s", serve, [&]() -> net::Task<> {
    net::TaskGroup waiting(loop_, "waiting", 1);
    waiting.spawn(ask_slow());
    for (int i = 0; i < 20; ++i) {
      const std::string found = co_await ask(*one, "quick");
      EXPECT_EQ(found, "quick");
    }
    EXPECT_EQ(slow, "");
    went = true;
    go.notify_all();
    co_await waiting.join();
  });
  EXPECT_EQ(slow, "slow");
  EXPECT_EQ(connections_, 2);
}

TEST_F(NetworkTable, ARestartedServerIsNotNoticed) {
  const auto one = socketmap();
  // Each connection answers once and is closed.
  const Serve once = [&](std::unique_ptr<net::Stream> transport, int /*number*/) -> net::Task<> {
    net::BufferedStream stream(std::move(transport));
    const std::string key = co_await next_key(stream);
    co_await reply(stream, "OK " + key);
  };
  run("s", once, [&]() -> net::Task<> {
    for (int i = 0; i < 3; ++i) {
      const std::string found = co_await ask(*one, "key");
      EXPECT_EQ(found, "key");
    }
  });
  EXPECT_EQ(connections_, 3);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(NetworkTable, AServerThatIsDownIsATemporaryErrorUntilItIsUp) {
  const auto one = socketmap();
  std::vector<std::string> found(20);
  const auto ask_one = [&](std::string& into) -> net::Task<> { into = co_await ask(*one, "key"); };
  run("other", answer_all, [&]() -> net::Task<> {
    net::TaskGroup all(loop_, "all", 20);
    for (std::string& into : found) { all.spawn(ask_one(into)); }
    co_await all.join();
  });
  for (const std::string& text : found) {
    EXPECT_EQ(text, "!table " + one->name() + ": query error: No such file or directory");
  }
  EXPECT_THAT(warnings_, ::testing::Contains("connect to " + path("s") + ": No such file or directory"));
  // It comes up.
  run("s", answer_all, [&]() -> net::Task<> {
    const std::string now = co_await ask(*one, "key");
    EXPECT_EQ(now, "<key>");
  });
}

TEST_F(NetworkTable, WhatWasNotAskedForEndsTheConnection) {
  const auto one = socketmap();
  const Serve chatty = [&](std::unique_ptr<net::Stream> transport, int number) -> net::Task<> {
    net::BufferedStream stream(std::move(transport));
    for (;;) {
      const std::string key = co_await next_key(stream);
      if (key.empty()) { co_return; }
      stream.append("4:OK 1,4:OK 2,");
      co_await reply(stream, "OK " + std::to_string(number));
    }
  };
  run("s", chatty, [&]() -> net::Task<> {
    for (int i = 0; i < 3; ++i) {
      const std::string found = co_await ask(*one, "key");
      EXPECT_EQ(found, "1");  // never what belongs to another key
    }
  });
  EXPECT_EQ(connections_, 3);
}

TEST_F(NetworkTable, BadNamesAreErrorsWhenOpened) {
  EXPECT_EQ(open_error("socketmap:inet"), "socketmap requires server:socketmap argument");
  EXPECT_EQ(open_error("socketmap:unix::m"), "need service transport:endpoint instead of \"unix:\"");
  EXPECT_EQ(open_error("socketmap:foo:h:1:m"), "invalid transport name: foo in service: foo:h:1");
  EXPECT_EQ(open_error("tcp:127.0.0.1"), "127.0.0.1: garbage after numerical service");
  EXPECT_NE(open_error("tcp:[::1"), "");
  EXPECT_NE(open_error("tcp:host:"), "");
  context_.loop = nullptr;
  EXPECT_EQ(open_error("tcp:127.0.0.1:1"), "tcp:127.0.0.1:1: no event loop here");
}

class Connections : public NetworkTable {
 protected:
  ServerConnections make(ServerConnections::Limits limits) {
    return ServerConnections(loop_, ServerAddress::unix_socket(path("s")), limits, "connect to ", [](auto) {});
  }
};

TEST_F(Connections, AreBoundedAndSoAreThoseWhoWait) {
  ServerConnections server = make({.connections = 2, .waiting = 0});
  run("s", answer_all, [&]() -> net::Task<> {
    auto first = co_await server.acquire(within(seconds(10)));
    auto second = co_await server.acquire(within(seconds(10)));
    EXPECT_TRUE(first && second);
    auto third = co_await server.acquire(within(seconds(10)));
    EXPECT_FALSE(third);
    if (first) { first->release(); }
    auto fourth = co_await server.acquire(within(seconds(10)));
    EXPECT_TRUE(fourth && fourth->reused());
  });
}

TEST_F(Connections, WaitNoLongerThanTheirDeadline) {
  ServerConnections server = make({.connections = 1});
  run("s", answer_all, [&]() -> net::Task<> {
    auto first = co_await server.acquire(within(seconds(10)));
    EXPECT_TRUE(first);
    auto second = co_await server.acquire(within(milliseconds(10)));
    EXPECT_TRUE(!second && second.error().is(std::errc::timed_out));
  });
}

TEST_F(Connections, AreClosedWhenIdleOrOld) {
  ServerConnections idle = make({.idle = seconds(0)});
  ServerConnections old = make({.age = seconds(0)});
  run("s", answer_all, [&]() -> net::Task<> {
    for (ServerConnections* server : {&idle, &old}) {
      for (int i = 0; i < 2; ++i) {
        auto lease = co_await server->acquire(within(seconds(10)));
        EXPECT_TRUE(lease && !lease->reused());
        if (lease) { lease->release(); }
      }
    }
  });
}

}  // namespace
}  // namespace stagepost::maps
