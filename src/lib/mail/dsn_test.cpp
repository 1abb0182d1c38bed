#include "mail/dsn.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stagepost::dsn {
namespace {

TEST(StatusCode, IsFoundAtTheStartOfText) {
  EXPECT_EQ(code_length("4.7.1 text"), 5U);
  EXPECT_EQ(code_length("5.123.456"), 9U);
  for (const std::string text :
       {"", "4", "4.7", "4.7.", "4.7.1x", "3.0.0 x", "4.1234.1 x", "4.7.1234", "44.7.1 x", " 4.7.1"}) {
    EXPECT_EQ(code_length(text), 0U) << text;
  }
  EXPECT_TRUE(is_code("2.0.0"));
  EXPECT_FALSE(is_code("2.0.0 "));
  EXPECT_EQ(split_status("4.7.1  wait", "5.0.0"), (Status{"4.7.1", "wait"}));
  EXPECT_EQ(split_status("wait", "5.0.0"), (Status{"5.0.0", "wait"}));
  EXPECT_EQ(with_class("5.7.1", '4'), "4.7.1");
}

TEST(Notify, ParsesTheListsOfRfc3461) {
  EXPECT_EQ(parse_notify("NEVER"), Notify::never);
  EXPECT_EQ(parse_notify("success,Failure"), Notify::success | Notify::failure);
  EXPECT_EQ(format_notify(Notify::success | Notify::delay), "SUCCESS,DELAY");
  for (const std::string value : {"", "NEVER,SUCCESS", "SUCCESS,NEVER", "X", "SUCCESS,", ",DELAY"}) {
    EXPECT_FALSE(parse_notify(value)) << value;
  }
}

TEST(Xtext, RoundTripsAndRefusesMalformedInput) {
  const std::string all = "a+b=c d\x7f\xc3\xa9";
  EXPECT_EQ(xtext_encode(all), "a+2Bb+3Dc+20d+7F+C3+A9");
  EXPECT_EQ(xtext_decode(xtext_encode(all)), all);
  for (const std::string bad : {"+", "+4", "+4g", "+2b", "a=b", "a b", "+00", "\xc3"}) {
    EXPECT_FALSE(xtext_decode(bad)) << bad;
  }
}

TEST(Unitext, DecodesCodePoints) {
  EXPECT_EQ(unitext_decode("\\x{E9}@x"), "\xc3\xa9@x");
  EXPECT_EQ(unitext_decode("\xc3\xa9\\x{1F600}"), "\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_EQ(unitext_encode("a b\\\xc3\xa9"), "a\\x{20}b\\x{5C}\xc3\xa9");
  EXPECT_EQ(unitext_decode(unitext_encode("a+b=c d")), "a+b=c d");
  for (const std::string bad :
       {"\\", "\\x{", "\\x{}", "\\x{0}", "\\x{D800}", "\\x{110000}", "\\x{1234567}", "\xff", "a=b"}) {
    EXPECT_FALSE(unitext_decode(bad)) << bad;
  }
}

TEST(Orcpt, SplitsTypeAndDecodes) {
  EXPECT_EQ(parse_orcpt("RFC822;a+2Bb@c"), (OriginalRecipient{"rfc822", "a+b@c"}));
  EXPECT_EQ(parse_orcpt("utf-8;\\x{E9}@c"), (OriginalRecipient{"utf-8", "\xc3\xa9@c"}));
  EXPECT_EQ(format_orcpt({"rfc822", "a+b@c"}), "rfc822;a+2Bb@c");
  for (const std::string bad : {"", "a@b", ";a", "rfc822;a+", "rfc822;a+00", "rfc822;a+0Ab", "rf c;a"}) {
    EXPECT_FALSE(parse_orcpt(bad)) << bad;
  }
}

TEST(Envid, IsPrintableXtext) {
  EXPECT_EQ(parse_envid("a+41"), "aA");
  for (const std::string bad : {"", "a+0", "a+0Ab", "a+00", "+C3+A9"}) { EXPECT_FALSE(parse_envid(bad)) << bad; }
}

TEST(Ret, HasTwoValues) {
  EXPECT_EQ(parse_ret("full"), Ret::full);
  EXPECT_EQ(parse_ret("HDRS"), Ret::headers);
  EXPECT_FALSE(parse_ret(""));
  EXPECT_EQ(format_ret(Ret::headers), "HDRS");
}

}  // namespace
}  // namespace stagepost::dsn
