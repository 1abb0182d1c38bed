#include "dns/message.hpp"

#include <gtest/gtest.h>

namespace stagepost::dns {
namespace {

using namespace std::string_literals;

// Header (reply, given rcode) with one question "example.com MX" and the given counts.
std::string reply(unsigned rcode, unsigned answers, unsigned authorities = 0) {
  std::string out = "\x12\x34\x81"s;
  out += static_cast<char>(0xa0 | rcode);  // RA, AD
  out += "\0\1"s;
  out += static_cast<char>(answers >> 8);
  out += static_cast<char>(answers);
  out += '\0';
  out += static_cast<char>(authorities);
  out += "\0\0\7example\3com\0\0\x0f\0\1"s;
  return out;
}
std::string rr(const std::string& owner, unsigned type, unsigned ttl, const std::string& data) {
  std::string out = owner;
  out += '\0';
  out += static_cast<char>(type);
  out += "\0\1"s;
  for (int shift = 24; shift >= 0; shift -= 8) { out += static_cast<char>(ttl >> shift); }
  out += static_cast<char>(data.size() >> 8);
  out += static_cast<char>(data.size());
  return out + data;
}
const std::string kOwner = "\xc0\x0c";  // pointer to the question's name

TEST(DnsMessage, QueryHasFlagsQuestionAndOptAtTheEnd) {
  const auto query = encode_query({.id = 0x1234, .name = "Example.com.", .type = Type::tlsa, .dnssec = true});
  ASSERT_TRUE(query);
  EXPECT_EQ(*query, "\x12\x34\x01\x20\0\1\0\0\0\0\0\1\7Example\3com\0\0\x34\0\1\0\0\x29\x04\xd0\0\0\x80\0\0\0"s);
}

TEST(DnsMessage, QueryRefusesNamesThatDnsCannotCarry) {
  const std::string label63(63, 'a');
  EXPECT_TRUE(encode_query({.name = label63}));
  EXPECT_FALSE(encode_query({.name = label63 + "a"}));
  EXPECT_FALSE(encode_query({.name = "a..b"}));
  EXPECT_FALSE(encode_query({.name = "a b"}));
  EXPECT_FALSE(encode_query({.name = "m\xc3\xbcller.example"}));
  const std::string longest = label63 + "." + label63 + "." + label63 + "." + std::string(61, 'a');
  EXPECT_TRUE(encode_query({.name = longest}));
  EXPECT_FALSE(encode_query({.name = longest + "a"}));
}

TEST(DnsMessage, ParsesMxWithCompressionAndAuthenticFlag) {
  const auto message = parse_message(reply(0, 1) + rr(kOwner, 15, 300, "\0\x0a\4mail\xc0\x0c"s));
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->authentic);
  EXPECT_EQ(message->question_name, "example.com");
  ASSERT_EQ(message->answers.size(), 1U);
  EXPECT_EQ(message->answers[0].preference, 10);
  EXPECT_EQ(message->answers[0].value, "mail.example.com");
  EXPECT_EQ(message->answers[0].ttl, 300U);
}

TEST(DnsMessage, ParsesEveryTypeWeAskFor) {
  const auto message = parse_message(reply(0, 7) + rr(kOwner, 1, 1, "\xc0\0\2\1"s) +
                                     rr(kOwner, 28, 1, "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\1"s) +
                                     rr(kOwner, 16, 1, "\3abc\2de"s) + rr(kOwner, 12, 1, "\1p\xc0\x0c"s) +
                                     rr(kOwner, 52, 1, "\3\1\1"s + std::string(32, 'h')) +
                                     rr(kOwner, 33, 1, "\0\1\0\2\0\x19\1s\0"s) + rr(kOwner, 5, 1, "\1c\0"s));
  ASSERT_TRUE(message);
  ASSERT_EQ(message->answers.size(), 7U);
  EXPECT_EQ(message->answers[0].address.text(), "192.0.2.1");
  EXPECT_EQ(message->answers[1].address.text(), "2001:db8::1");
  EXPECT_EQ(message->answers[2].value, "abcde");
  EXPECT_EQ(message->answers[3].value, "p.example.com");
  EXPECT_EQ(message->answers[4].tlsa, (Tlsa{3, 1, 1, std::string(32, 'h')}));
  EXPECT_EQ(message->answers[5].port, 25);
  EXPECT_EQ(message->answers[6].value, "c");
}

TEST(DnsMessage, NullMxIsTheRoot) {
  const auto message = parse_message(reply(0, 1) + rr(kOwner, 15, 300, "\0\0\0"s));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->answers[0].value, "");
}

TEST(DnsMessage, NegativeTtlComesFromTheSoa) {
  const auto message =
      parse_message(reply(3, 0, 1) + rr(kOwner, 6, 600, "\0\0"s + std::string(16, 'x') + "\0\0\0\x3c"s));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->rcode, Rcode::nx_domain);
  EXPECT_EQ(message->negative_ttl, 60U);
}

TEST(DnsMessage, RefusesMalformedReplies) {
  const std::string good = reply(0, 1) + rr(kOwner, 15, 300, "\0\x0a\4mail\xc0\x0c"s);
  for (std::size_t cut = 0; cut < good.size(); ++cut) { EXPECT_FALSE(parse_message(good.substr(0, cut))) << cut; }
  EXPECT_FALSE(parse_message(reply(0, 1) + rr(kOwner, 1, 1, "\1\2\3"s))) << "A of three octets";
  EXPECT_FALSE(parse_message(reply(0, 1) + rr(kOwner, 1, 1, "\1\2\3\4\5"s))) << "A of five octets";
  EXPECT_FALSE(parse_message(reply(0, 1) + rr(kOwner, 52, 1, "\3\1\1"s))) << "TLSA without data";
  EXPECT_FALSE(parse_message(reply(0, 1) + rr(kOwner, 16, 1, "\5abc"s))) << "TXT string past its end";
  EXPECT_FALSE(parse_message(reply(0, 1) + rr("\xc0\x1d"s, 1, 1, "\1\2\3\4"s))) << "name points to itself";
  EXPECT_FALSE(parse_message(reply(0, 1) + rr("\xc0\xff"s, 1, 1, "\1\2\3\4"s))) << "name points ahead";
  EXPECT_FALSE(parse_message(reply(0, 1) + rr("\x80"s, 1, 1, "\1\2\3\4"s))) << "reserved label type";
}

TEST(DnsMessage, KeepsNoMoreRecordsThanTheLimit) {
  std::string bytes = reply(0, 5);
  for (int i = 0; i < 5; ++i) { bytes += rr(kOwner, 1, 1, "\1\2\3\4"s); }
  EXPECT_EQ(parse_message(bytes, {.records = 5})->answers.size(), 5U);
  const auto cut = parse_message(bytes, {.records = 4});
  EXPECT_EQ(cut->answers.size(), 4U);
  EXPECT_EQ(cut->dropped, 1U);
}

TEST(DnsMessage, OddLabelBytesNeverLookLikeHostNames) {
  const auto message = parse_message(reply(0, 1) + rr(kOwner, 12, 1, "\5a.b\nc\0"s));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->answers[0].value, "a\\046b\\010c");
}

TEST(DnsMessage, FollowsAliasesAndStopsInLoops) {
  const auto chain = parse_message(reply(0, 2) + rr(kOwner, 5, 1, "\1a\0"s) + rr("\1a\0"s, 5, 1, "\1b\0"s));
  ASSERT_TRUE(chain);
  EXPECT_EQ(canonical_name(*chain, "EXAMPLE.com"), "b");
  const auto loop = parse_message(reply(0, 2) + rr("\1a\0"s, 5, 1, "\1b\0"s) + rr("\1b\0"s, 5, 1, "\1a\0"s));
  ASSERT_TRUE(loop);
  EXPECT_EQ(canonical_name(*loop, "a"), "a");
}

TEST(DnsMessage, ReverseNames) {
  EXPECT_EQ(reverse_name(*net::IpAddress::parse("192.0.2.1")), "1.2.0.192.in-addr.arpa");
  EXPECT_EQ(reverse_name(*net::IpAddress::parse("2001:db8::1")),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

}  // namespace
}  // namespace stagepost::dns
