#include "mail/hostname.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stagepost::mail {
namespace {

TEST(Hostname, AcceptsNamesAndRefusesMalformedOnes) {
  for (const std::string name :
       {"a", "a.b", "mail-1.example.com", "a_b.c", "1.example", "1a", "xn--bcher-kva.example"}) {
    EXPECT_TRUE(is_valid_hostname(name)) << name;
  }
  for (const std::string name :
       {"", ".", ".a", "a.", "a..b", "-a", "a-", "a-.b", "a.-b", "a b", "1.2.3.4", "123", "a/b", "\xc3\xa9"}) {
    EXPECT_FALSE(is_valid_hostname(name)) << name;
  }
}

TEST(Hostname, LengthLimitsHoldOnBothSides) {
  EXPECT_TRUE(is_valid_hostname(std::string(63, 'a')));
  EXPECT_FALSE(is_valid_hostname(std::string(64, 'a')));
  std::string name;
  while (name.size() < 250) { name += "abcd."; }
  EXPECT_TRUE(is_valid_hostname(name + "abcde"));
  EXPECT_FALSE(is_valid_hostname(name + "abcdef"));
}

TEST(AddressLiteral, GivesTheAddressInside) {
  EXPECT_EQ(parse_address_literal("[192.0.2.1]"), "192.0.2.1");
  EXPECT_EQ(parse_address_literal("[IPv6:2001:db8::1]"), "2001:db8::1");
  EXPECT_EQ(parse_address_literal("[ipv6:::1]"), "::1");
  for (const std::string literal :
       {"[::1]", "[]", "[192.0.2.1", "192.0.2.1]", "[192.0.2.256]", "[IPv6:1.2.3.4]", "[IPv6:]", ""}) {
    EXPECT_FALSE(parse_address_literal(literal)) << literal;
  }
}

TEST(Idna, ConvertsBothWays) {
  EXPECT_EQ(domain_to_ascii("b\xc3\xbc"
                            "cher.example"),
            "xn--bcher-kva.example");
  EXPECT_EQ(domain_to_utf8("xn--bcher-kva.example"),
            "b\xc3\xbc"
            "cher.example");
  EXPECT_EQ(domain_to_ascii("Plain.Example"), "Plain.Example");
  EXPECT_EQ(domain_to_utf8("plain.example"), "plain.example");
  // Sharp s is kept by IDNA2008 and becomes ss in the transitional mapping.
  EXPECT_EQ(domain_to_ascii("fa\xc3\x9f.de"), "xn--fa-hia.de");
  EXPECT_EQ(domain_to_ascii("fa\xc3\x9f.de", Idna::idna2003_compatible), "fass.de");
  EXPECT_FALSE(domain_to_ascii("\xff.example"));
  EXPECT_FALSE(domain_to_ascii(std::string(5000, '\xc3')));
}

TEST(ParentDomain, WalksUpToTheEnd) {
  EXPECT_EQ(parent_domain("a.b.c"), "b.c");
  EXPECT_EQ(parent_domain("c"), "");
  EXPECT_EQ(parent_domain("[192.0.2.1]"), "");
}

}  // namespace
}  // namespace stagepost::mail
