#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "ipc/channel.hpp"
#include "ipc/client_pool.hpp"
#include "net/error.hpp"
#include "net/scripted_stream.hpp"
#include "net/socket_stream.hpp"
#include "net/task_group.hpp"

namespace stagepost::ipc {
namespace {

using std::chrono::seconds;

enum class Colour : std::uint8_t { red, green, kLast = green };

struct Inner {
  std::string name;
  std::int32_t number = 0;
  auto fields(this auto& self, auto&& visit) { return visit(self.name, self.number); }
  bool operator==(const Inner&) const = default;
};

struct Outer {
  static constexpr std::uint16_t kType = 0x7001;
  std::uint64_t big = 0;
  bool flag = false;
  Colour colour = Colour::red;
  std::optional<Inner> maybe;
  std::vector<Inner> list;
  std::vector<std::string> words;
  std::chrono::milliseconds delay{0};
  std::chrono::system_clock::time_point when;
  auto fields(this auto& self, auto&& visit) {
    return visit(self.big, self.flag, self.colour, self.maybe, self.list, self.words, self.delay, self.when);
  }
  bool operator==(const Outer&) const = default;
};

struct Ping {
  static constexpr std::uint16_t kType = 0x7002;
  std::string text;
  auto fields(this auto& self, auto&& visit) { return visit(self.text); }
};

Outer sample() {
  return {.big = 0x1122334455667788U,
          .flag = true,
          .colour = Colour::green,
          .maybe = Inner{std::string("a\0b", 3), -5},
          .list = {{"x", 1}, {"", std::numeric_limits<std::int32_t>::min()}},
          .words = {"one", "two"},
          .delay = std::chrono::milliseconds(-1500),
          .when = std::chrono::system_clock::time_point(seconds(1'700'000'000))};
}

std::string payload_of(const Outer& message) {
  std::string bytes;
  append_frame(bytes, message);
  return bytes.substr(kHeaderBytes);
}

TEST(Codec, RoundTrip) { EXPECT_EQ(decode<Outer>(payload_of(sample())).value(), sample()); }

TEST(Codec, EveryTruncationAndTrailingByteIsRefused) {
  const std::string bytes = payload_of(sample());
  for (std::size_t n = 0; n < bytes.size(); ++n) { EXPECT_FALSE(decode<Outer>(bytes.substr(0, n))) << n; }
  EXPECT_FALSE(decode<Outer>(bytes + '\0'));
}

TEST(Codec, BadEnumBoolAndCountAreRefused) {
  std::string bytes = payload_of(Outer{});
  bytes[8] = 2;  // flag
  EXPECT_FALSE(decode<Outer>(bytes));
  bytes = payload_of(Outer{});
  bytes[9] = 2;  // colour
  EXPECT_FALSE(decode<Outer>(bytes));
  bytes = payload_of(Outer{});
  bytes[11] = bytes[12] = bytes[13] = bytes[14] = '\xff';  // list count
  EXPECT_FALSE(decode<Outer>(bytes));
}

TEST(Frame, LengthLimit) {
  EXPECT_TRUE(parse_header(std::string_view("\x00\x00\x10\x00\x01\x02", 6)));
  EXPECT_EQ(parse_header(std::string_view("\x00\x00\x10\x00\x01\x02", 6))->type, 0x0201);
  EXPECT_FALSE(parse_header(std::string_view("\x01\x00\x10\x00\x01\x02", 6)));
}

net::Task<> receive_split(std::shared_ptr<net::Script> script) {
  Channel channel(std::make_unique<net::ScriptedStream>(script));
  const auto first = co_await channel.receive_as<Outer>(Deadline::never());
  EXPECT_EQ(first.value(), sample());
  const auto wrong = co_await channel.receive_as<Outer>(Deadline::never());
  EXPECT_TRUE(wrong.error().is(std::errc::bad_message));
  const auto end = co_await channel.receive(Deadline::never());
  EXPECT_EQ(end.error().code, net::Errc::end_of_stream);
}

TEST(Channel, MessagesArriveWholeHoweverSplit) {
  std::string bytes;
  append_frame(bytes, sample());
  append_frame(bytes, Ping{"x"});
  net::EventLoop loop;
  for (const std::size_t step : {1U, 2U, 7U, 1000U}) {
    auto script = std::make_shared<net::Script>();
    for (std::size_t i = 0; i < bytes.size(); i += step) { script->send(bytes.substr(i, step)); }
    loop.run_task(receive_split(script));
  }
}

net::Task<> answer(std::unique_ptr<net::Stream> stream, int requests) {
  Channel channel(std::move(stream));
  for (int i = 0; i < requests; ++i) {
    auto ping = co_await channel.receive_as<Ping>(Deadline::after(seconds(5)));
    if (!ping) { co_return; }
    ping->text += "!";
    const auto sent = co_await channel.send(*ping, Deadline::after(seconds(5)));
    EXPECT_TRUE(sent);
  }
}

// Serves `connections` connections, each for two requests, then closes.
net::Task<> serve(net::Listener& listener, int connections, int& served) {
  for (int i = 0; i < connections; ++i) {
    auto accepted = co_await listener.accept();
    EXPECT_TRUE(accepted);
    ++served;
    co_await answer(std::move(accepted->stream), 2);
  }
}

net::Task<> use_pool(net::EventLoop& loop, net::Listener& listener, std::string path, int& served) {
  net::TaskGroup group(loop, "test", 1);
  group.spawn(serve(listener, 2, served));
  ClientPool pool(loop, path);
  for (int i = 0; i < 4; ++i) {
    const auto reply = co_await pool.call<Ping>(Ping{"hi"}, Deadline::after(seconds(5)));
    EXPECT_EQ(reply.value().text, "hi!");
  }
  co_await group.join();
}

/// A service endpoint in a directory of its own, which goes with it.
class ListeningEndpoint {
 public:
  explicit ListeningEndpoint(net::EventLoop& loop) {
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    path_ = directory_ + "/s";
    unique_fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, path_.size());
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd.get(), 5), 0);
    listener_.emplace(net::Listener::create(loop, std::move(fd)).value());
  }
  ~ListeningEndpoint() {
    ::unlink(path_.c_str());
    ::rmdir(directory_.c_str());
  }
  ListeningEndpoint(const ListeningEndpoint&) = delete;
  ListeningEndpoint& operator=(const ListeningEndpoint&) = delete;

  [[nodiscard]] net::Listener& listener() { return *listener_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string directory_ = "/tmp/stagepost-ipc-XXXXXX";
  std::string path_;
  std::optional<net::Listener> listener_;
};

TEST(ClientPool, ReusesConnectionsAndReplacesClosedOnes) {
  net::EventLoop loop;
  ListeningEndpoint endpoint(loop);
  int served = 0;
  loop.run_task(use_pool(loop, endpoint.listener(), endpoint.path(), served));
  EXPECT_EQ(served, 2);
}

// Takes `lost` connections and closes them unanswered, as a server that ends just then; serves the next one.
net::Task<> serve_late(net::Listener& listener, int lost) {
  for (int i = 0; i < lost; ++i) {
    auto accepted = co_await listener.accept();
    EXPECT_TRUE(accepted);
  }
  auto accepted = co_await listener.accept();
  if (accepted) { co_await answer(std::move(accepted->stream), 1); }
}

net::Task<> ask_ending_servers(net::EventLoop& loop, net::Listener& listener, std::string path, int lost,
                               Result<Ping>& got) {
  net::TaskGroup group(loop, "test", 1);
  group.spawn(serve_late(listener, lost));
  ClientPool pool(loop, path);
  auto reply = co_await pool.call<Ping>(Ping{"hi"}, Deadline::after(seconds(5)));
  got = std::move(reply);
  co_await group.cancel_and_join();
}

TEST(ClientPool, AsksAnotherServerWhenOneEnds) {
  for (const int lost : {1, 3, 4}) {
    net::EventLoop loop;
    ListeningEndpoint endpoint(loop);
    Result<Ping> got = failure("not asked");
    loop.run_task(ask_ending_servers(loop, endpoint.listener(), endpoint.path(), lost, got));
    EXPECT_EQ(got.has_value(), lost <= 3) << lost;
  }
}

net::Task<> missing(net::EventLoop& loop) {
  ClientPool pool(loop, "/nonexistent/socket");
  const auto reply = co_await pool.call<Ping>(Ping{"hi"}, Deadline::after(std::chrono::milliseconds(30)));
  EXPECT_TRUE(reply.error().is(std::errc::no_such_file_or_directory));
}

TEST(ClientPool, MissingEndpointFailsAtTheDeadline) {
  net::EventLoop loop;
  loop.run_task(missing(loop));
}

}  // namespace
}  // namespace stagepost::ipc
