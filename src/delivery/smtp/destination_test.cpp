#include "delivery/smtp/destination.hpp"

#include <gtest/gtest.h>

namespace stagepost::smtp_client {
namespace {

Candidate candidate(const char* host, const char* address, std::uint16_t preference) {
  return {host, *net::IpAddress::parse(address), preference};
}
std::string show(const std::vector<Candidate>& list) {
  std::string out;
  for (const auto& c : list) { out += (out.empty() ? "" : " ") + c.address.text(); }
  return out;
}

TEST(DestinationTest, Forms) {
  Settings smtp;
  const auto plain = parse_destination("example.com", smtp);
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->lookup_mx);
  EXPECT_EQ(plain->port, 25);
  const auto host = parse_destination("[mx.example.com]:2525", smtp);
  ASSERT_TRUE(host);
  EXPECT_FALSE(host->lookup_mx);
  EXPECT_EQ(host->host, "mx.example.com");
  EXPECT_EQ(host->port, 2525);
  EXPECT_EQ(parse_destination("[IPv6:2001:db8::1]", smtp)->host, "2001:db8::1");
  EXPECT_FALSE(parse_destination("[192.0.2.1]", smtp)->lookup_mx);
  EXPECT_FALSE(parse_destination("example.com:nosuchport", smtp));
  EXPECT_FALSE(parse_destination("", smtp));
  Settings lmtp;
  lmtp.protocol = Protocol::lmtp;
  lmtp.default_port = "24";
  const auto socket = parse_destination("unix:private/dovecot-lmtp", lmtp);
  ASSERT_TRUE(socket);
  EXPECT_TRUE(socket->is_unix);
  EXPECT_EQ(socket->path, "private/dovecot-lmtp");
  const auto inet = parse_destination("inet:box.example.com", lmtp);
  ASSERT_TRUE(inet);
  EXPECT_FALSE(inet->lookup_mx);
  EXPECT_EQ(inet->port, 24);
  EXPECT_FALSE(parse_destination("unix:", lmtp));
}

TEST(DestinationTest, ListsKeepBracketsTogether) {
  EXPECT_EQ(split_destinations("[::1]:25, example.com  b:26"),
            (std::vector<std::string>{"[::1]:25", "example.com", "b:26"}));
  EXPECT_TRUE(split_destinations(" , ").empty());
}

TEST(CandidateOrder, PreferenceThenFamilyThenChance) {
  Settings settings;
  settings.randomize_addresses = false;
  settings.preference = AddressPreference::ipv6;
  std::mt19937 random(1);
  std::vector<Candidate> list{candidate("b", "192.0.2.2", 20), candidate("a", "192.0.2.1", 10),
                              candidate("a", "2001:db8::1", 10)};
  order_candidates(list, settings, random);
  EXPECT_EQ(show(list), "2001:db8::1 192.0.2.1 192.0.2.2");
  settings.randomize_addresses = true;
  settings.preference = AddressPreference::any;
  int first = 0;
  for (int i = 0; i < 100; ++i) {
    order_candidates(list, settings, random);
    first += list.front().address.text() == "192.0.2.1" ? 1 : 0;
    EXPECT_EQ(list.back().preference, 20);
  }
  EXPECT_GT(first, 20);
  EXPECT_LT(first, 80);
}

TEST(CandidateOrder, LimitLeavesRoomForTheOtherFamily) {
  Settings settings;
  settings.address_limit = 4;
  std::vector<Candidate> list;
  for (const char* a : {"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5"}) {
    list.push_back(candidate("a", a, 10));
  }
  list.push_back(candidate("b", "192.0.2.1", 20));
  auto balanced = list;
  limit_candidates(balanced, settings);
  EXPECT_EQ(show(balanced), "2001:db8::1 2001:db8::2 2001:db8::3 192.0.2.1");
  settings.balance_protocols = false;
  limit_candidates(list, settings);
  EXPECT_EQ(show(list), "2001:db8::1 2001:db8::2 2001:db8::3 2001:db8::4");
}

TEST(LoopDetection, OwnAddressOrNameCutsTheListThere) {
  const Self self{.myhostname = "me.test", .addresses = {*net::IpAddress::parse("192.0.2.2")}};
  std::vector<Candidate> list{candidate("a.test", "192.0.2.1", 10), candidate("b.test", "192.0.2.2", 20),
                              candidate("c.test", "192.0.2.3", 20), candidate("d.test", "192.0.2.4", 30)};
  EXPECT_TRUE(drop_self_and_worse(list, self));
  EXPECT_EQ(show(list), "192.0.2.1");
  std::vector<Candidate> by_name{candidate("ME.test", "192.0.2.9", 10)};
  EXPECT_TRUE(drop_self_and_worse(by_name, self));
  EXPECT_TRUE(by_name.empty());
  std::vector<Candidate> others{candidate("a.test", "192.0.2.1", 10)};
  EXPECT_FALSE(drop_self_and_worse(others, self));
}

}  // namespace
}  // namespace stagepost::smtp_client
