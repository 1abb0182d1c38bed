#include <fcntl.h>
#include <random>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "net/blocking.hpp"
#include "net/buffered_stream.hpp"
#include "net/endpoint.hpp"
#include "net/error.hpp"
#include "net/event.hpp"
#include "net/event_loop.hpp"
#include "net/scripted_stream.hpp"
#include "net/socket_stream.hpp"
#include "net/stdio_stream.hpp"
#include "net/task_group.hpp"

namespace stagepost::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Pair {
  std::unique_ptr<Stream> a;
  std::unique_ptr<Stream> b;
};

Pair make_pair(EventLoop& loop) {
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  return {make_stream(loop, unique_fd(fds[0])).value(), make_stream(loop, unique_fd(fds[1])).value()};
}

Task<> echo(std::unique_ptr<Stream> stream) {
  BufferedStream io(std::move(stream));
  for (;;) {
    const auto bytes = co_await io.peek(within(seconds(10)));
    if (!bytes) { co_return; }
    const std::string copy(*bytes);
    io.consume(copy.size());
    const auto sent = co_await io.write(copy, within(seconds(10)));
    if (!sent) { co_return; }
    const auto flushed = co_await io.flush(within(seconds(10)));
    if (!flushed) { co_return; }
  }
}

Task<> echo_client(EventLoop& loop, std::unique_ptr<Stream> stream, std::unique_ptr<Stream> server) {
  TaskGroup group(loop, "test", 1);
  group.spawn(echo(std::move(server)));
  EXPECT_TRUE(group.full());
  {
    BufferedStream io(std::move(stream));
    std::string big(300'000, 'x');
    big += "\r\n";
    const auto sent = co_await io.write("one\r\ntwo\n", within(seconds(5)));
    EXPECT_TRUE(sent);
    const auto flushed = co_await io.flush(within(seconds(5)));
    EXPECT_TRUE(flushed);
    const auto one = co_await io.read_line(10, within(seconds(5)));
    EXPECT_EQ(one.value().text, "one");
    EXPECT_EQ(one.value().ending, Line::Ending::crlf);
    const auto two = co_await io.read_line(10, within(seconds(5)));
    EXPECT_EQ(two.value().text, "two");
    EXPECT_EQ(two.value().ending, Line::Ending::lf);
    const auto timed_out = co_await io.read_line(10, within(milliseconds(20)));
    EXPECT_TRUE(timed_out.error().is(std::errc::timed_out));
  }
  co_await group.join();
}

TEST(Stream, EchoLinesAndTimeout) {
  EventLoop loop;
  Pair pair = make_pair(loop);
  loop.run_task(echo_client(loop, std::move(pair.a), std::move(pair.b)));
}

Task<> wait_forever(Stream& stream, std::vector<std::error_code>& seen) {
  char buffer[10];
  const auto n = co_await stream.read_some(buffer, Deadline::never());
  seen.push_back(n.error().code);
  const auto again = co_await stream.read_some(buffer, Deadline::never());
  seen.push_back(again.error().code);
}

Task<> cancel_reader(EventLoop& loop, Stream& stream, std::vector<std::error_code>& seen) {
  TaskGroup group(loop, "test", 4);
  group.spawn(wait_forever(stream, seen));
  co_await yield_now();
  co_await group.cancel_and_join();
  EXPECT_EQ(group.size(), 0U);
}

TEST(TaskGroup, CancelEndsWaitsAsNormalReturnAndLaterWaitsToo) {
  EventLoop loop;
  Pair pair = make_pair(loop);
  std::vector<std::error_code> seen;
  loop.run_task(cancel_reader(loop, *pair.a, seen));
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0], std::errc::operation_canceled);
  EXPECT_EQ(seen[1], std::errc::operation_canceled);
}

Task<int> one() { co_return 1; }

Task<> count_to(int limit, int& count) {
  while (count < limit) {
    const int step = co_await one();
    count += step;
  }
}

TEST(Task, AwaitsThatNeverSuspendDoNotGrowTheStack) {
  EventLoop loop;
  int count = 0;
  loop.run_task(count_to(1'000'000, count));
  EXPECT_EQ(count, 1'000'000);
}

Task<> wait_for_nobody(Event& event, std::shared_ptr<int> held) {
  [[maybe_unused]] const auto woken = co_await event.wait(Deadline::never());
  ++*held;
}

TEST(Task, WhatWaitsForeverIsUnwoundWithTheLoopsLastTask) {
  EventLoop loop;
  Event event(loop);
  const auto held = std::make_shared<int>(0);
  loop.run_task(wait_for_nobody(event, held));
  event.notify_all();  // nobody is left to be told
  loop.run_task([]() -> Task<> { co_await yield_now(); }());
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(*held, 0);
}

Task<> read_one(Stream& stream, Result<std::size_t>& got) {
  std::array<char, 8> buffer{};
  got = co_await stream.read_some(buffer, within(seconds(5)));
}

Task<> write_until_full(Stream& stream, Result<>& sent) {
  const std::string much(4 * 1024 * 1024, 'x');
  sent = co_await stream.write_all(much, within(seconds(5)));
}

Task<> cancel_writer_only(EventLoop& loop, Result<std::size_t>& got, Result<>& sent) {
  Pair pair = make_pair(loop);
  TaskGroup readers(loop, "readers", 1);
  TaskGroup writers(loop, "writers", 1);
  readers.spawn(read_one(*pair.a, got));
  writers.spawn(write_until_full(*pair.a, sent));
  co_await yield_now();
  co_await writers.cancel_and_join();
  const auto answered = co_await pair.b->write_all("y", within(seconds(5)));
  EXPECT_TRUE(answered);
  co_await readers.join();
}

TEST(Stream, CancelledWriterLeavesTheReaderWaiting) {
  EventLoop loop;
  Result<std::size_t> got = 0;
  Result<> sent;
  loop.run_task(cancel_writer_only(loop, got, sent));
  ASSERT_FALSE(sent);
  EXPECT_TRUE(sent.error().is(std::errc::operation_canceled));
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 1U);
}

Task<> throwing() {
  co_await yield_now();
  throw std::runtime_error("boom");
}

Task<> join_throwing(EventLoop& loop) {
  TaskGroup group(loop, "test", 2);
  group.spawn(throwing());
  co_await group.join();
}

TEST(TaskGroup, ExceptionEndsOnlyItsTask) {
  EventLoop loop;
  loop.run_task(join_throwing(loop));
}

// Many echo sessions that are cancelled or closed at random moments: under ASan this is the lifetime test.
Task<> storm(EventLoop& loop, unsigned seed) {
  std::mt19937 random(seed);
  TaskGroup servers(loop, "servers", 1000);
  TaskGroup clients(loop, "clients", 1000);
  for (int i = 0; i < 200; ++i) {
    Pair pair = make_pair(loop);
    servers.spawn(echo(std::move(pair.b)));
    clients.spawn([](std::unique_ptr<Stream> stream, unsigned n) -> Task<> {
      BufferedStream io(std::move(stream));
      for (unsigned k = 0; k < n; ++k) {
        const auto sent = co_await io.write("ping\r\n", within(seconds(5)));
        if (!sent) { co_return; }
        const auto flushed = co_await io.flush(within(seconds(5)));
        if (!flushed) { co_return; }
        const auto line = co_await io.read_line(100, within(milliseconds(k % 3 == 0 ? 1 : 500)));
        if (!line) { co_return; }
      }
    }(std::move(pair.a), static_cast<unsigned>(random() % 20)));
    if (random() % 10 == 0) { clients.cancel(); }
    if (random() % 4 == 0) { co_await yield_now(); }
  }
  co_await clients.join();
  co_await servers.cancel_and_join();
}

TEST(TaskGroup, RandomCancellationIsClean) {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    EventLoop loop;
    loop.run_task(storm(loop, seed));
  }
}

Task<> blocking(EventLoop& loop, std::thread::id& id, int& value) {
  value = co_await run_blocking(loop, [&id] {
    id = std::this_thread::get_id();
    return 42;
  });
}

TEST(Blocking, RunsElsewhereAndReturns) {
  EventLoop loop;
  std::thread::id id;
  int value = 0;
  loop.run_task(blocking(loop, id, value));
  EXPECT_EQ(value, 42);
  EXPECT_NE(id, std::this_thread::get_id());
}

Task<> waiter(Event& event, bool& woken) {
  const auto result = co_await event.wait(within(seconds(5)));
  woken = result.has_value();
}

Task<> notify(EventLoop& loop, bool& woken) {
  Event event(loop);
  TaskGroup group(loop, "test", 1);
  group.spawn(waiter(event, woken));
  co_await yield_now();
  event.notify_all();
  co_await group.join();
  const auto late = co_await event.wait(within(milliseconds(5)));
  EXPECT_TRUE(late.error().is(std::errc::timed_out));
}

TEST(Event, WakesWaitersAndTimesOut) {
  EventLoop loop;
  bool woken = false;
  loop.run_task(notify(loop, woken));
  EXPECT_TRUE(woken);
}

Task<> accept_one(EventLoop& loop, std::string path, unique_fd listening) {
  auto listener = Listener::create(loop, std::move(listening));
  auto client = co_await connect_unix(loop, path, within(seconds(1)));
  EXPECT_TRUE(client);
  auto accepted = co_await listener->accept();
  EXPECT_TRUE(accepted);
  EXPECT_FALSE(accepted->peer);
}

TEST(Listener, AcceptsUnixConnections) {
  char directory[] = "/tmp/stagepost-net-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/s";
  unique_fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(fd.get(), 5), 0);
  EventLoop loop;
  loop.run_task(accept_one(loop, path, std::move(fd)));
  ::unlink(path.c_str());
  ::rmdir(directory);
}

Task<> tcp(EventLoop& loop) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_storage storage{};
  socklen_t length = Endpoint{*IpAddress::parse("127.0.0.1"), 0}.to_sockaddr(storage);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&storage), length), 0);
  length = sizeof storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length);
  const auto endpoint = Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage)).value();
  const auto refused = co_await connect_tcp(loop, endpoint, std::nullopt, within(seconds(1)));
  EXPECT_TRUE(refused.error().is(std::errc::connection_refused));
  EXPECT_EQ(::listen(fd, 5), 0);
  auto listener = Listener::create(loop, unique_fd(fd));
  auto client = co_await connect_tcp(loop, endpoint, IpAddress::parse("127.0.0.1"), within(seconds(1)));
  EXPECT_TRUE(client);
  auto accepted = co_await listener->accept();
  EXPECT_EQ(accepted->local, endpoint);
  EXPECT_EQ(accepted->peer->address.text(), "127.0.0.1");
}

TEST(Tcp, ConnectAcceptAndRefusal) {
  EventLoop loop;
  loop.run_task(tcp(loop));
}

Task<> line_limits(std::shared_ptr<Script> script) {
  BufferedStream io(std::make_unique<ScriptedStream>(script));
  const auto fits = co_await io.read_line(4, Deadline::never());
  EXPECT_EQ(fits.value().text, "abcd");
  const auto too_long = co_await io.read_line(4, Deadline::never());
  EXPECT_EQ(too_long.error().code, Errc::limit_exceeded);
  EXPECT_EQ(io.take_partial(4), "efgh");
  const auto rest = co_await io.read_line(4, Deadline::never());
  EXPECT_EQ(rest.value().text, "i");
  const auto timed_out = co_await io.read_line(4, Deadline::never());
  EXPECT_TRUE(timed_out.error().is(std::errc::timed_out));
  const auto gone = co_await io.read_line(4, Deadline::never());
  EXPECT_EQ(gone.error().code, Errc::end_of_stream);
}

TEST(BufferedStream, LineLimitFromBothSidesHoweverSplit) {
  EventLoop loop;
  const std::string input = "abcd\r\nefghi\r\n";
  for (std::size_t step = 1; step <= input.size(); ++step) {
    auto script = std::make_shared<Script>();
    for (std::size_t i = 0; i < input.size(); i += step) { script->send(input.substr(i, step)); }
    script->time_out();
    loop.run_task(line_limits(script));
  }
}

TEST(BufferedStreamDeathTest, TransportIsNotReleasedWithInputBuffered) {
  EXPECT_DEATH(
      {
        EventLoop loop;
        auto script = std::make_shared<Script>();
        script->send("STARTTLS\r\nMAIL");
        BufferedStream io(std::make_unique<ScriptedStream>(script));
        loop.run_task([](BufferedStream& stream) -> Task<> {
          [[maybe_unused]] const auto line = co_await stream.read_line(100, Deadline::never());
        }(io));
        auto transport = io.release_transport();
      },
      "assertion failed");
}

TEST(HostPort, Forms) {
  using Bare = HostPort::Bare;
  EXPECT_EQ(HostPort::parse("[mail.example]:587", Bare::is_host)->port, "587");
  EXPECT_TRUE(HostPort::parse("[mail.example]", Bare::is_host)->bracketed);
  EXPECT_EQ(HostPort::parse("example.com:submission", Bare::is_host)->host, "example.com");
  EXPECT_EQ(HostPort::parse("25", Bare::is_port)->port, "25");
  EXPECT_EQ(HostPort::parse("2001:db8::1", Bare::is_host)->host, "2001:db8::1");
  for (const char* bad : {"[a", "[a]x", "[a]:", "a:", "a:b:c"}) {
    EXPECT_FALSE(HostPort::parse(bad, Bare::is_host)) << bad;
  }
  EXPECT_EQ(resolve_port("25").value(), 25);
  EXPECT_FALSE(resolve_port("0"));
  EXPECT_FALSE(resolve_port("65536"));
}

TEST(IpAddress, ParseTextAndPrefix) {
  EXPECT_EQ(IpAddress::parse("::ffff:192.0.2.1")->text(), "192.0.2.1");
  EXPECT_FALSE(IpAddress::parse("192.0.2"));
  EXPECT_FALSE(IpAddress::parse("192.0.2.1 "));
  const auto network = *IpAddress::parse("192.0.2.128");
  EXPECT_TRUE(IpAddress::parse("192.0.2.255")->matches(network, 25));
  EXPECT_FALSE(IpAddress::parse("192.0.2.127")->matches(network, 25));
  EXPECT_TRUE(IpAddress::parse("1.2.3.4")->matches(network, 0));
  EXPECT_FALSE(IpAddress::parse("::1")->matches(network, 0));
  EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
}

Task<> talk_through_pipes() {
  int to[2];
  int from[2];
  EXPECT_EQ(::pipe(to), 0);
  EXPECT_EQ(::pipe(from), 0);
  const unique_fd to_read(to[0]);
  unique_fd to_write(to[1]);
  const unique_fd from_read(from[0]);
  const unique_fd from_write(from[1]);
  const auto stream = make_stdio_stream(to_read.get(), from_write.get());
  std::string got;
  const auto late = co_await stream->append_some(got, 100, within(milliseconds(20)));
  EXPECT_TRUE(!late && late.error().is(std::errc::timed_out));
  EXPECT_TRUE(sys::write_all(to_write.get(), "hello"));
  const auto read = co_await stream->append_some(got, 100, within(seconds(10)));
  EXPECT_EQ(read.value_or(0), 5U);
  EXPECT_EQ(got, "hello");
  const auto written = co_await stream->write_all("bye", within(seconds(10)));
  EXPECT_TRUE(written);
  char reply[4] = "";
  EXPECT_EQ(::read(from_read.get(), reply, 3), 3);
  EXPECT_STREQ(reply, "bye");
  // Nobody reads: a full pipe is a time-out, not a hang.
  const std::string much(1 << 20, 'x');
  const auto stuck = co_await stream->write_all(much, within(milliseconds(20)));
  EXPECT_TRUE(!stuck && stuck.error().is(std::errc::timed_out));
  to_write.reset();
  const auto end = co_await stream->append_some(got, 100, within(seconds(10)));
  EXPECT_EQ(end.value_or(9), 0U);
  // Whoever else has the descriptors finds them as they were.
  EXPECT_EQ(::fcntl(to_read.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(::fcntl(from_write.get(), F_GETFL) & O_NONBLOCK, 0);
  stream->close();
  const auto closed = co_await stream->write_all("x", within(seconds(10)));
  EXPECT_TRUE(!closed && closed.error().is(std::errc::operation_canceled));
}

TEST(StdioStream, PipesStayBlockingAndTimeOut) {
  EventLoop loop;
  loop.run_task(talk_through_pipes());
}

Task<> read_all_of(int fd, std::string& got) {
  const auto stream = make_stdio_stream(fd, fd);
  for (;;) {
    const auto read = co_await stream->append_some(got, 4, within(seconds(10)));
    EXPECT_TRUE(read);
    if (!read || *read == 0) { co_return; }
  }
}

TEST(StdioStream, FilesAndDevicesAreAlwaysReady) {
  EventLoop loop;
  const std::string path = ::testing::TempDir() + "stagepost_stdio";
  ASSERT_TRUE(sys::replace_file(path, "some text\n", 0600));
  const auto file = sys::open(path, O_RDONLY);
  ASSERT_TRUE(file);
  std::string got;
  loop.run_task(read_all_of(file->get(), got));
  EXPECT_EQ(got, "some text\n");
  const auto null = sys::open("/dev/null", O_RDWR);
  ASSERT_TRUE(null);
  loop.run_task(read_all_of(null->get(), got));
  EXPECT_EQ(got, "some text\n");
}

}  // namespace
}  // namespace stagepost::net
