#include "mail/address_list.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mail/rewrite.hpp"

namespace stagepost::mail {
namespace {

struct Case {
  std::string in;
  std::string out;
};

std::string rewritten(std::string_view field, const AddressListLimits& limits = {}) {
  return rewrite_header_addresses(
             field, [](std::string_view a) { return rewrite_address(a, {.myorigin = "test.example"}); }, limits)
      .field;
}

// Each result was given by cleanup(8) of Postfix 3.7.11.
TEST(RewriteHeaderAddresses, DoesAsPostfixDoes) {
  const std::vector<Case> cases{
      {"To: a", "To: a@test.example"},
      {"To: a, b@c, \"x y\" <d>", "To: a@test.example, b@c, \"x y\" <d@test.example>"},
      {"To: A B <a>, (comment) b (Name), grp: m1, m2@x ; , c",
       "To: A B <a@test.example>, b@test.example (comment) (Name),\n\tgrp: m1@test.example, m2@x;, c@test.example"},
      {"To: undisclosed-recipients:;", "To: undisclosed-recipients:;"},
      {"To: <a>", "To: <a@test.example>"},
      {"To: a@b (x (nested) y), c", "To: a@b (x (nested) y), c@test.example"},
      {"To: Foo <@r1,@r2:a@b>", "To: Foo <a@b>"},
      {"To: a b c <d>", "To: a b c <d@test.example>"},
      {"To: a,,b", "To: a@test.example, , b@test.example"},
      {"To: ,a", "To: , a@test.example"},
      {"To: a b", "To: a@test.example, b@test.example"},
      {"To: a;b", "To: a@test.example;, b@test.example"},
      {"To: <>", "To: <>"},
      {"To: Foo <>", "To: Foo <>"},
      {"To:", "To:"},
      {"To:a@b", "To:a@b"},
      {"To:  a", "To: a@test.example"},
      {"To: a\n\tb", "To: a@test.example, b@test.example"},
      {"To: a,\n b,\n c", "To: a@test.example, b@test.example, c@test.example"},
      {"To : a", "To: a@test.example"},
      {"tO: a", "tO: a@test.example"},
      {"To: a (unclosed", "To: a@test.example (unclosed"},
      {"To: \"unclosed", "To: unclosed@test.example"},
      {"To: a@[1.2.3.4]", "To: a@[1.2.3.4]"},
      {"To: grp: a", "To: \"grp:a\"@test.example"},
      {"To: g:a;,h:b;", "To: g: a@test.example;, h: b@test.example;"},
      {"To: a <b> (c)", "To: a <b@test.example>(c)"},
      {"To: a@b@c", "To: \"a@b\"@c"},
      {"To: (only)", "To: (only)"},
      {"To: \"a\" \"b\" <c>", "To: \"a\" \"b\" <c@test.example>"},
      {"To: Name<a>", "To: Name <a@test.example>"},
      {"To: \"x\"<a>", "To: \"x\" <a@test.example>"},
      {"To: a(c)@b", "To: a(c)@b"},
      {"To: a, (c) (c) b", "To: a@test.example, b@test.example (c) (c)"},
      {"To: a:b", "To: \"a:b\"@test.example"},
      {"To: a@", "To: a@"},
      {"To: @b", "To: \"\"@b"},
      {"To: a\tb <c>", "To: a b <c@test.example>"},
      {"To: \"a\\\"b\" <c>", "To: \"a\\\"b\" <c@test.example>"},
      {"To: " + std::string(90, 'x') + " <a>", "To: " + std::string(90, 'x') + " <a@test.example>"},
      {"To: user0, user1, user2, user3, user4, user5, user6",
       "To: user0@test.example, user1@test.example, user2@test.example,\n\tuser3@test.example, user4@test.example, "
       "user5@test.example,\n\tuser6@test.example"},
  };
  for (const auto& c : cases) { EXPECT_EQ(rewritten(c.in), c.out); }
}

TEST(RewriteHeaderAddresses, LineLengthLimitHoldsOnBothSides) {
  const std::string first = "To: " + std::string(30, 'a') + ", ";
  EXPECT_EQ(rewritten(first + std::string(17, 'b') + "@x, c"),
            "To: " + std::string(30, 'a') + "@test.example, " + std::string(17, 'b') + "@x,\n\tc@test.example");
  EXPECT_EQ(rewritten(first + std::string(18, 'b') + "@x, c"),
            "To: " + std::string(30, 'a') + "@test.example,\n\t" + std::string(18, 'b') + "@x, c@test.example");
}

TEST(RewriteHeaderAddresses, DropsTokensAboveTheLimit) {
  EXPECT_EQ(rewritten("To: a@b, c@d, e@f", {.tokens = 7}), "To: a@b, c@d");
  EXPECT_EQ(rewritten("To: a@b, c@d", {.tokens = 7}), "To: a@b, c@d");
}

TEST(ExtractAddresses, FindsAllMailboxes) {
  const auto list = extract_addresses("A \"B C\" <a@b>, c@d (Name), g: e, \"f g\"@h;, <>");
  ASSERT_EQ(list.size(), 4U);
  EXPECT_EQ(list[0].address, "a@b");
  EXPECT_EQ(list[0].display_name, "A B C");
  EXPECT_EQ(list[1].address, "c@d");
  EXPECT_EQ(list[1].display_name, "Name");
  EXPECT_EQ(list[2].address, "e");
  EXPECT_EQ(list[3].address, "\"f g\"@h");
}

TEST(ExtractAddresses, IsLinearOnHostileInput) {
  EXPECT_LE(extract_addresses(std::string(100000, '(')).size(), 1U);
  EXPECT_LE(extract_addresses(std::string(100000, '<')).size(), 20000U);
  EXPECT_LE(extract_addresses(std::string(100000, ':')).size(), 20000U);
  EXPECT_LE(extract_addresses(std::string(100000, '"')).size(), 100000U);
}

TEST(FormatMailbox, QuotesNamesThatNeedIt) {
  EXPECT_EQ(format_mailbox("a@b", ""), "a@b");
  EXPECT_EQ(format_mailbox("a@b", "John Doe"), "John Doe <a@b>");
  EXPECT_EQ(format_mailbox("a@b", "John Q. \"D\""), "\"John Q. \\\"D\\\"\" <a@b>");
  EXPECT_EQ(format_mailbox("a@b", "J (x)", FromFormat::obsolete), "a@b (J \\(x\\))");
  EXPECT_EQ(format_mailbox("a@b", "J\nBcc: x"), "\"J Bcc: x\" <a@b>");
}

}  // namespace
}  // namespace stagepost::mail
