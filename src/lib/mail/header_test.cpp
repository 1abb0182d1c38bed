#include "mail/header.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stagepost::mail {
namespace {

TEST(HeaderName, NeedsPrintableNameAndColon) {
  EXPECT_EQ(header_name_length("Subject: x"), 7U);
  EXPECT_EQ(header_name_length("Subject : x"), 7U);
  EXPECT_EQ(header_name_length("a:"), 1U);
  for (const std::string line :
       {"", ":", ": x", "A b: x", "A\x01: x", "A\xe9: x", " A: x", "Subject", "Subject \x01:"}) {
    EXPECT_EQ(header_name_length(line), 0U) << line;
  }
}

TEST(HeaderKind, IsFoundWhateverTheCase) {
  EXPECT_EQ(header_kind("MESSAGE-ID"), HeaderKind::message_id);
  EXPECT_EQ(header_kind("to"), HeaderKind::to);
  EXPECT_EQ(header_kind("x-to"), HeaderKind::other);
  EXPECT_EQ(header_kind(""), HeaderKind::other);
  EXPECT_EQ(header_name(HeaderKind::mime_version), "MIME-Version");
  EXPECT_TRUE(header_traits(HeaderKind::resent_to).extract_recipients);
  EXPECT_TRUE(header_traits(HeaderKind::content_type).mime);
}

TEST(HeaderField, SplitsNameAndBody) {
  const auto field = parse_header_field("To :  a,\n\tb");
  ASSERT_TRUE(field);
  EXPECT_EQ(field->name, "To");
  EXPECT_EQ(field->body, "a,\n\tb");
  EXPECT_EQ(field->kind, HeaderKind::to);
  EXPECT_FALSE(parse_header_field("no header"));
}

TEST(Folding, IsUndoneByUnfolding) {
  const std::string field = "X: aaaa bbbb cccc dddd";
  EXPECT_EQ(fold(field, 12), "X: aaaa bbbb\n cccc dddd");
  EXPECT_EQ(unfold(fold(field, 5)), field);
  EXPECT_EQ(fold("X: short", 78), "X: short");
  EXPECT_EQ(fold("X:aaaaaaaaaaaaaa", 5), "X:aaaaaaaaaaaaaa");
  EXPECT_EQ(fold("X: a   ", 4), "X: a   ");
  EXPECT_EQ(unfold("a\r\n b\n\tc"), "a b\tc");
}

}  // namespace
}  // namespace stagepost::mail
