// Server addresses, and sockets that end at their deadline.
#include "peer_stream.hpp"

#include <array>
#include <chrono>
#include <filesystem>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps {
namespace {

using std::chrono_literals::operator""ms;
using ::testing::HasSubstr;

std::string parsed(std::string_view text, std::string_view default_port = {}) {
  auto peer = parse_peer(text, default_port);
  return peer ? peer->text() : "error";
}

TEST(PeerAddress, FormsAreThoseOfTheManual) {
  EXPECT_EQ(parsed("inet:localhost:11211"), "localhost:11211");
  EXPECT_EQ(parsed("inet:[2001:db8::1]:http"), "[2001:db8::1]:http");
  EXPECT_EQ(parsed("unix:/run/x"), "unix:/run/x");
  EXPECT_EQ(parsed("a.example", "6379"), "a.example:6379");
  EXPECT_EQ(parsed("inet:a.example", "6379"), "a.example:6379");
  EXPECT_EQ(parsed("[::1]", "6379"), "[::1]:6379");
  EXPECT_EQ(parsed("[::1]:7", "6379"), "[::1]:7");
}

TEST(PeerAddress, OthersAreErrors) {
  for (const char* text : {"localhost:11211", "inet:localhost", "inet::1", "inet:a:", "unix:", "inet:[::1",
                           "inet:[::1]x1", "inet:::1:80", "", "inet:[]:1"}) {
    EXPECT_EQ(parsed(text), "error") << text;
  }
  EXPECT_EQ(parsed("unix:/" + std::string(200, 'x')), "error");
  EXPECT_EQ(parsed("::1", "80"), "error");
}

TEST(PeerStream, AServerThatSaysNothingEndsAtTheDeadline) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
  const auto stream = plain_stream(unique_fd(ends[0]));
  unique_fd server(ends[1]);
  std::array<char, 4> buffer{};
  auto nothing = stream->read(buffer, within(1ms));
  ASSERT_FALSE(nothing);
  EXPECT_TRUE(nothing.error().is(std::errc::timed_out));
  // Nobody reads: the socket's buffer fills up.
  auto full = stream->write(std::string(8U << 20U, 'x'), within(1ms));
  ASSERT_FALSE(full);
  EXPECT_TRUE(full.error().is(std::errc::timed_out));
  server.reset();
  auto closed = stream->read(buffer, within(1000ms));
  ASSERT_FALSE(closed);
  EXPECT_TRUE(closed.error().is(std::errc::connection_reset)) << closed.error().message();
}

TEST(PeerStream, NobodyThereIsAnErrorThatNamesTheServer) {
  const std::string path = std::filesystem::temp_directory_path() / ("no-such-socket-" + std::to_string(::getpid()));
  const auto missing = connect_peer({.local = true, .host = path, .port = {}}, within(1000ms));
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message(), HasSubstr("connect to unix:" + path + ": No such file or directory"));
  const auto name = connect_peer({.local = false, .host = "host.invalid.", .port = "no-such-service"}, within(1000ms));
  ASSERT_FALSE(name);
  EXPECT_THAT(name.error().message(), HasSubstr("address of host.invalid."));
}

}  // namespace
}  // namespace stagepost::maps
