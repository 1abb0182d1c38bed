// What goes to a Redis server, its replies in all pieces, slots and redirects of a cluster.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster_slot.hpp"
#include "resp_reader.hpp"

namespace stagepost::maps::redis {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kLimit = 1000;

/// A reply in one line of text; whole and byte by byte must agree.
std::string shown(const Reply& reply) {
  switch (reply.kind) {
    case Reply::Kind::status:
      return "+" + reply.text;
    case Reply::Kind::error:
      return "-" + reply.text;
    case Reply::Kind::integer:
      return ":" + std::to_string(reply.integer);
    case Reply::Kind::text:
      return "\"" + reply.text + "\"";
    case Reply::Kind::nil:
      return "nil";
    case Reply::Kind::array:
      break;
  }
  std::string all = "[";
  for (const Reply& element : reply.elements) { all += shown(element) + ","; }
  return all + "]";
}

std::string read_all(std::string_view bytes) {
  const auto outcome = [](const Result<std::optional<Reply>>& reply) {
    return !reply ? "error: " + reply.error().message() : *reply ? shown(**reply) : "incomplete";
  };
  ReplyReader whole(kLimit);
  const std::string result = outcome(whole.feed(bytes));
  ReplyReader pieces(kLimit);
  Result<std::optional<Reply>> last;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    last = pieces.feed(bytes.substr(i, 1));
    if (!last || (*last && i + 1 < bytes.size())) { break; }
  }
  if (!result.starts_with("error")) { EXPECT_EQ(outcome(last), result); }
  return result;
}

TEST(RedisReply, AllKindsAreRead) {
  EXPECT_EQ(read_all("+OK\r\n"), "+OK");
  EXPECT_EQ(read_all("-WRONGPASS no\r\n"), "-WRONGPASS no");
  EXPECT_EQ(read_all(":-12\r\n"), ":-12");
  EXPECT_EQ(read_all("$6\r\na\r\nb\r\r\r\n"), "\"a\r\nb\r\r\"");
  EXPECT_EQ(read_all("$0\r\n\r\n"), "\"\"");
  EXPECT_EQ(read_all("$-1\r\n"), "nil");
  EXPECT_EQ(read_all("*-1\r\n"), "nil");
  EXPECT_EQ(read_all("*0\r\n"), "[]");
  EXPECT_EQ(read_all("*3\r\n$4\r\nhost\r\n*2\r\n:1\r\n:2\r\n$-1\r\n"), "[\"host\",[:1,:2,],nil,]");
  EXPECT_EQ(read_all("$6\r\nabc"), "incomplete");
}

TEST(RedisReply, HostileRepliesAreErrors) {
  EXPECT_THAT(read_all("HTTP/1.1 200 OK\r\n"), HasSubstr("error: bad reply"));
  EXPECT_THAT(read_all("+OK\r\n+OK\r\n"), HasSubstr("more than one reply"));
  EXPECT_THAT(read_all("$" + std::string(2000, '1')), HasSubstr("longer than 1000"));
  EXPECT_THAT(read_all("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), HasSubstr("error: "));
  // Sizes alone allocate nothing.
  EXPECT_EQ(read_all("*2147483647\r\n*2147483647\r\n*2147483647\r\n"), "incomplete");
  EXPECT_EQ(read_all("$2147483647\r\nabc"), "incomplete");
}

TEST(RedisReply, TheLimitIsForOneReply) {
  ReplyReader reader(10);
  for (int i = 0; i < 5; ++i) {
    auto reply = reader.feed("$4\r\nabcd\r\n");
    ASSERT_TRUE(reply);
    EXPECT_EQ((*reply)->text, "abcd");
  }
  EXPECT_FALSE(reader.feed("$5\r\nabcde\r\n"));
}

TEST(RedisCommand, LengthsKeepBytesFromHavingAMeaning) {
  using namespace std::string_literals;
  const std::vector<std::string> words{"GET", "a\r\nDEL b\r\n\0"s, ""};
  EXPECT_EQ(encode_command(words), "*3\r\n$3\r\nGET\r\n$11\r\na\r\nDEL b\r\n\0\r\n$0\r\n\r\n"s);
}

TEST(RedisCluster, SlotsAreThoseOfTheSpecification) {
  EXPECT_EQ(slot_of("123456789"), 0x31c3 % kSlots);
  EXPECT_EQ(slot_of("foo"), 12182);
  EXPECT_EQ(slot_of("{user1000}.following"), slot_of("user1000"));
  EXPECT_NE(slot_of("foo{}{bar}"), slot_of("bar"));
  EXPECT_EQ(slot_of("foo{{bar}}zap"), slot_of("{bar"));
  EXPECT_EQ(slot_of("foo{bar}{zap}"), slot_of("bar"));
}

TEST(RedisCluster, RedirectsAreChecked) {
  const auto moved = parse_redirect("MOVED 3999 127.0.0.1:6381");
  ASSERT_TRUE(moved);
  EXPECT_FALSE(moved->once);
  EXPECT_EQ(moved->slot, 3999);
  EXPECT_EQ(moved->host + "|" + moved->port, "127.0.0.1|6381");
  EXPECT_TRUE(parse_redirect("ASK 0 ::1:6381")->once);
  EXPECT_EQ(parse_redirect("ASK 0 ::1:6381")->host, "::1");
  EXPECT_EQ(parse_redirect("MOVED 1 :6381")->host, "");
  for (const char* text : {"ERR x", "MOVED", "MOVED 1", "MOVED 16384 a:1", "MOVED -1 a:1", "MOVED 1 a", "MOVED 1 a:0",
                           "MOVED 1 a:65536", "MOVED 1 a/b:1", "MOVED 1 a\r\n:1", "MOVED  1 a:1", "moved 1 a:1"}) {
    EXPECT_FALSE(parse_redirect(text)) << text;
  }
}

}  // namespace
}  // namespace stagepost::maps::redis
