// proxy: tables and their client against a service of the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/snapshot.hpp"
#include "ipc/channel.hpp"
#include "maps/listening_fixture.hpp"
#include "maps/proxy_client.hpp"
#include "maps/proxy_protocol.hpp"
#include "net/event.hpp"

namespace stagepost::maps {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Proxy : public Listening {
 protected:
  ProxyClient::Settings settings() {
    return {
        .path = path("s"), .timeout = seconds(10), .connect_tries = 2, .pause = milliseconds(1), .warn = context_.warn};
  }
  static ProxyRequest request(std::string key) {
    ProxyRequest one;
    one.table = "lmdb:/t";
    one.key = std::move(key);
    return one;
  }
  static net::Task<std::string> ask(ProxyClient& client, std::string key) {
    const auto reply = co_await client.ask(request(std::move(key)));
    co_return reply ? reply->text : "!" + reply.error().message();
  }
  net::Task<> ask_into(ProxyClient& client, std::string key, std::string& answer) {
    answer = co_await ask(client, std::move(key));
  }
  /// Reads `count` requests, then answers them, the last one first.
  Serve backwards(std::size_t count) {
    return [this, count](std::unique_ptr<net::Stream> transport, int /*number*/) -> net::Task<> {
      ipc::Channel channel(std::move(transport));
      for (;;) {
        std::vector<ProxyRequest> requests;
        while (requests.size() < count) {
          auto one = co_await channel.receive_as<ProxyRequest>(within(seconds(10)));
          if (!one) { co_return; }
          requests.push_back(*std::move(one));
        }
        requests_ += requests.size();
        for (std::size_t i = count; i-- > 0;) {
          channel.queue(ProxyReply{.number = requests[i].number, .text = "<" + requests[i].key + ">"});
        }
        const auto sent = co_await channel.flush(within(seconds(10)));
        if (!sent) { co_return; }
      }
    };
  }

  std::size_t requests_ = 0;
};

TEST_F(Proxy, RequestsShareAConnectionAndRepliesComeInAnyOrder) {
  ProxyClient client(loop_, settings());
  std::vector<std::string> answers(50);
  run("s", backwards(50), [&]() -> net::Task<> {
    for (int round = 0; round < 2; ++round) {
      net::TaskGroup all(loop_, "all", 50);
      for (std::size_t i = 0; i < answers.size(); ++i) { all.spawn(ask_into(client, std::to_string(i), answers[i])); }
      co_await all.join();
      for (std::size_t i = 0; i < answers.size(); ++i) { EXPECT_EQ(answers[i], "<" + std::to_string(i) + ">"); }
    }
  });
  EXPECT_EQ(connections_, 1);
  EXPECT_EQ(requests_, 100U);
}

TEST_F(Proxy, WhoeverReadsMayBeToldToEndWithoutHarmToTheOthers) {
  ProxyClient client(loop_, settings());
  std::vector<std::string> answers(3);
  run("s", backwards(3), [&]() -> net::Task<> {
    net::TaskGroup reader(loop_, "reader", 1);
    net::TaskGroup others(loop_, "others", 2);
    reader.spawn(ask_into(client, "a", answers[0]));
    co_await net::sleep_until(within(milliseconds(5)));
    others.spawn(ask_into(client, "b", answers[1]));
    co_await net::sleep_until(within(milliseconds(5)));
    co_await reader.cancel_and_join();
    others.spawn(ask_into(client, "c", answers[2]));
    co_await others.join();
  });
  EXPECT_TRUE(answers[0].starts_with("!"));
  EXPECT_EQ(answers[1], "<b>");
  EXPECT_EQ(answers[2], "<c>");
  EXPECT_EQ(connections_, 1);
}

TEST_F(Proxy, ABrokenConnectionIsReplacedOnceForAllWhoWait) {
  ProxyClient client(loop_, settings());
  const Serve all_good = backwards(2);
  const Serve first_breaks = [&](std::unique_ptr<net::Stream> transport, int number) -> net::Task<> {
    if (number > 1) {
      co_await all_good(std::move(transport), number);
      co_return;
    }
    ipc::Channel channel(std::move(transport));
    for (int i = 0; i < 2; ++i) {
      const auto one = co_await channel.receive_as<ProxyRequest>(within(seconds(10)));
      EXPECT_TRUE(one);
    }
  };
  std::vector<std::string> answers(2);
  run("s", first_breaks, [&]() -> net::Task<> {
    net::TaskGroup all(loop_, "all", 2);
    all.spawn(ask_into(client, "a", answers[0]));
    all.spawn(ask_into(client, "b", answers[1]));
    co_await all.join();
  });
  EXPECT_EQ(answers[0], "<a>");
  EXPECT_EQ(answers[1], "<b>");
  EXPECT_EQ(connections_, 2);
}

TEST_F(Proxy, AServiceThatAlwaysBreaksIsAnError) {
  ProxyClient client(loop_, settings());
  const Serve breaks = [](std::unique_ptr<net::Stream> transport, int /*number*/) -> net::Task<> {
    ipc::Channel channel(std::move(transport));
    const auto one = co_await channel.receive_as<ProxyRequest>(within(seconds(10)));
    EXPECT_TRUE(one);
    channel.io().append("garbage that is no message at all");
    const auto sent = co_await channel.io().flush(within(seconds(10)));
    EXPECT_TRUE(sent);
  };
  run("s", breaks, [&]() -> net::Task<> {
    const std::string answer = co_await ask(client, "a");
    EXPECT_TRUE(answer.starts_with("!")) << answer;
  });
  EXPECT_EQ(connections_, 2);
}

TEST_F(Proxy, AMissingServiceIsWarnedAboutAndThenAnError) {
  ProxyClient client(loop_, settings());
  run("other", backwards(1), [&]() -> net::Task<> {
    const std::string answer = co_await ask(client, "a");
    EXPECT_EQ(answer, "!connect #2 to subsystem " + path("s") + ": No such file or directory");
  });
  EXPECT_EQ(warnings(), (std::vector<std::string>{"connect #1 to subsystem s: No such file or directory"}));
  run("s", backwards(1), [&]() -> net::Task<> {
    const std::string answer = co_await ask(client, "a");
    EXPECT_EQ(answer, "<a>");
  });
}

TEST_F(Proxy, AReplyThatDoesNotComeInTimeIsAnError) {
  ProxyClient::Settings quick = settings();
  quick.timeout = seconds(0);
  ProxyClient client(loop_, quick);
  run("s", backwards(2), [&]() -> net::Task<> {
    const std::string answer = co_await ask(client, "a");
    EXPECT_TRUE(answer.contains("timed out")) << answer;
  });
}

TEST_F(Proxy, TableKindIsThatOfTheTableBehind) {
  const auto kind = [&](std::string_view name) { return key_kind_of(name, context_); };
  EXPECT_EQ(kind("proxy:unix:passwd.byname"), KeyKind::fixed);
  EXPECT_EQ(kind("proxy:regexp:/x"), KeyKind::pattern);
  EXPECT_EQ(kind("tcp:localhost:1"), KeyKind::pattern);
  EXPECT_EQ(kind("unionmap:{lmdb:/a,pipemap:{static:b,debug:cidr:/c}}"), KeyKind::pattern);
  EXPECT_EQ(kind("unionmap:{lmdb:/a,static:b}"), KeyKind::fixed);
  EXPECT_EQ(kind("unionmap:{"), KeyKind::fixed);
  EXPECT_EQ(kind("nonsense"), KeyKind::fixed);
  std::string deep = "lmdb:/a";
  for (int i = 0; i < 5000; ++i) { deep.insert(0, "proxy:"); }
  EXPECT_EQ(kind(deep), KeyKind::fixed);
}

TEST_F(Proxy, FlagsMakeTheTripUnchanged) {
  context_.substitution = Substitution::forbidden;
  context_.fold = CaseFold::no;
  context_.utf8 = Utf8::off;
  OpenContext other;
  ProxyFlags::apply(ProxyFlags::of(context_), other);
  EXPECT_EQ(other.substitution, Substitution::forbidden);
  EXPECT_EQ(other.fold, CaseFold::no);
  EXPECT_EQ(other.utf8, Utf8::off);
  ProxyFlags::apply(ProxyFlags::of(OpenContext{}), context_);
  EXPECT_EQ(context_.substitution, Substitution::allowed);
  EXPECT_EQ(context_.fold, CaseFold::yes);
  EXPECT_EQ(context_.utf8, Utf8::check);
}

}  // namespace
}  // namespace stagepost::maps
