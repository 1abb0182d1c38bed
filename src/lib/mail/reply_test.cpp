#include "mail/reply.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mail/ehlo.hpp"

namespace stagepost::smtp {
namespace {

TEST(Reply, EachLineHasCodeAndEnhancedCode) {
  EXPECT_EQ(format_reply({250, "2.1.0", "Ok"}), "250 2.1.0 Ok\r\n");
  EXPECT_EQ(format_reply({550, "5.7.1", "a\nb"}), "550-5.7.1 a\r\n550 5.7.1 b\r\n");
  EXPECT_EQ(format_reply({220, "", "host\r\nX"}), "220-host?\r\n220 X\r\n");
  EXPECT_EQ(reply_for_log({550, "5.7.1", "a\nb"}), "550 5.7.1 a; b");
}

TEST(ReplyText, ReadsCodesInEitherForm) {
  EXPECT_EQ(parse_reply_text("450 4.7.1 wait"), (Reply{450, "4.7.1", "wait"}));
  EXPECT_EQ(parse_reply_text("4.7.1 wait"), (Reply{450, "4.7.1", "wait"}));
  EXPECT_EQ(parse_reply_text("554 no"), (Reply{554, "", "no"}));
  EXPECT_EQ(parse_reply_text("554 4.7.1 no"), (Reply{554, "5.7.1", "no"}));
  EXPECT_FALSE(parse_reply_text("no"));
  EXPECT_FALSE(parse_reply_text(""));
}

TEST(ReplyParser, JoinsLinesAndTakesTheEnhancedCode) {
  ReplyParser parser;
  EXPECT_EQ(parser.feed("550-5.1.1 No such"), ReplyParser::State::more);
  EXPECT_EQ(parser.feed("550 5.1.1 user\r"), ReplyParser::State::complete);
  EXPECT_EQ(parser.reply().code, 550);
  EXPECT_EQ(parser.reply().enhanced, "5.1.1");
  EXPECT_EQ(parser.reply().text, "550-5.1.1 No such\n550 5.1.1 user");
  EXPECT_EQ(to_status(parser.reply()).code, "5.1.1");
  parser.reset();
  EXPECT_EQ(parser.feed("250"), ReplyParser::State::complete);
  EXPECT_EQ(to_status(parser.reply()).code, "2.0.0");
}

TEST(ReplyParser, IgnoresAnEnhancedCodeOfAnotherClass) {
  ReplyParser parser;
  EXPECT_EQ(parser.feed("450 5.1.1 x"), ReplyParser::State::complete);
  EXPECT_EQ(to_status(parser.reply()).code, "4.0.0");
}

TEST(ReplyParser, RefusesWhatIsNoReply) {
  for (const std::string line : {"", "25", "abc", "250x", "650 x", "150 x", "SSH-2.0"}) {
    ReplyParser parser;
    EXPECT_EQ(parser.feed(line), ReplyParser::State::malformed) << line;
  }
}

TEST(ReplyParser, LinesAndTextAreLimited) {
  ReplyParser parser({.text_octets = 20, .lines = 3});
  EXPECT_EQ(parser.feed("250-aaaaaaaaaaaaaaaaaaaaaaaaaaaa"), ReplyParser::State::more);
  EXPECT_EQ(parser.feed("250-b"), ReplyParser::State::more);
  EXPECT_EQ(parser.feed("250-c"), ReplyParser::State::too_long);
  EXPECT_LE(parser.reply().text.size(), 20U);
}

Capabilities capabilities(const std::vector<std::string>& lines, const std::vector<std::string>& discard = {}) {
  ReplyParser parser;
  for (const auto& line : lines) { parser.feed(line); }
  return parse_ehlo(parser.reply(), discard);
}

TEST(Ehlo, ReadsKeywordsAndTheirArguments) {
  const auto all =
      capabilities({"250-mx.example hello", "250-PIPELINING", "250-SIZE 1000", "250-auth plain LOGIN",
                    "250-AUTH=LOGIN XYZ", "250-8bitmime", "250-XFORWARD NAME ADDR", "250-BOGUS", "250 STARTTLS"});
  EXPECT_EQ(all.server_name, "mx.example");
  EXPECT_TRUE(all.has(Feature::pipelining));
  EXPECT_TRUE(all.has(Feature::starttls));
  EXPECT_TRUE(all.has(Feature::eight_bit_mime));
  EXPECT_FALSE(all.has(Feature::dsn));
  EXPECT_EQ(all.size_limit_bytes, 1000U);
  EXPECT_EQ(all.auth_mechanisms, (std::vector<std::string>{"PLAIN", "LOGIN", "XYZ"}));
  EXPECT_EQ(all.xforward, (std::vector<std::string>{"NAME", "ADDR"}));
}

TEST(Ehlo, DiscardedKeywordsAreNotThere) {
  const auto some = capabilities({"250-mx", "250-PIPELINING", "250-AUTH PLAIN", "250 DSN"}, {"pipelining", "auth"});
  EXPECT_FALSE(some.has(Feature::pipelining));
  EXPECT_TRUE(some.auth_mechanisms.empty());
  EXPECT_TRUE(some.has(Feature::dsn));
}

}  // namespace
}  // namespace stagepost::smtp
