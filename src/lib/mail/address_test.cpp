#include "mail/address.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stagepost::mail {
namespace {

constexpr PathOptions kSender{.utf8 = Utf8::allow, .allow_null = true};
constexpr PathOptions kStrictSender{.strict_rfc821_envelopes = true, .utf8 = Utf8::allow, .allow_null = true};

struct PathCase {
  std::string path;
  std::string internal;  // "ERROR" when refused
};

std::string parse(std::string_view path, const PathOptions& options) {
  const auto address = parse_path(PeerBytes(path), options);
  return address ? address->internal() : "ERROR";
}

TEST(ParsePath, TakesWhatPostfixTakes) {
  const std::vector<PathCase> cases{
      {"<a@b>", "a@b"},
      {"a@b", "a@b"},
      {"a@b>", "a@b"},
      {"<a@b>;", "a@b"},
      {"<<a@b>>", "a@b"},
      {"<>", ""},
      {"< a@b >", "a@b"},
      {"<a @ b>", "a@b"},
      {"<a . b@c>", "a.b@c"},
      {"<\"a b\"@c>", "a b@c"},
      {"<\"a\\\"b\"@c>", "a\"b@c"},
      {"<\"a>b\"@c>", "a>b@c"},
      {"<a.\"b\".c@d>", "a.b.c@d"},
      {"<\"\"@b>", "@b"},
      {"<@b>", "@b"},
      {"<@x,@y:a@b>", "a@b"},
      {"<@x:a>", "a"},
      {"<a@b@c>", "a@b@c"},
      {"<\"a@b\"@c>", "a@b@c"},
      {"<a@[1.2.3.4]>", "a@[1.2.3.4]"},
      {"<a@[IPv6:::1]>", "a@[IPv6:::1]"},
      {"<a@b.>", "a@b."},
      {"<.a..b.@c>", ".a..b.@c"},
      {"<(comment (nested))a@b>", "a@b"},
      {"<a\\ b@c>", "a b@c"},
      {"<a:b@c>", "a:b@c"},
      {"<a!b>", "a!b"},
      {"<|prog>", "|prog"},
      {"<Postmaster>", "Postmaster"},
      {"Name <a@b>", "a@b"},
      {"<\xc3\xa9@b\xc3\xbc.example>", "\xc3\xa9@b\xc3\xbc.example"},
  };
  for (const auto& c : cases) { EXPECT_EQ(parse(c.path, kSender), c.internal) << c.path; }
}

TEST(ParsePath, RefusesWhatPostfixRefuses) {
  for (const std::string path :
       {"<a@b",        "<a b@c>",       "<a@b c>",  "<\"a>",           "<a\"b@c>",  "<\"a\"b@c>",
        "<a@b,c@d>",   "<a;b@c>",       "<@x,a@b>", "<@x:a@b",         "<a@>",      "<a@b>x",
        "<a@.b>",      "<a@b..c>",      "<a@-b>",   "<a@[1.2.3.400]>", "<a@[foo]>", "<a@1.2.3.4>",
        "<a@123>",     "<a@b\x01>",     "<(a@b>",   "<\"\">",          "<a\\",      "<a[@[1.2.3.4]>",
        "<[1.2.3.4]>", "<a@[1.\x10]@b>"}) {
    EXPECT_EQ(parse(path, kSender), "ERROR") << path;
  }
  EXPECT_EQ(parse("<a@" + std::string(64, 'x') + ">", kSender), "ERROR");
  EXPECT_EQ(parse("<a@" + std::string(63, 'x') + ">", kSender), "a@" + std::string(63, 'x'));
}

TEST(ParsePath, StrictEnvelopesNeedBracketsAndNothingElse) {
  EXPECT_EQ(parse("<a@b>", kStrictSender), "a@b");
  EXPECT_EQ(parse("<>", kStrictSender), "");
  EXPECT_EQ(parse("<\"a b\"@c>", kStrictSender), "a b@c");
  EXPECT_EQ(parse("<@x:a@b>", kStrictSender), "a@b");
  for (const std::string path :
       {"a@b", "a@b>", "<a@b>;", "<(c)a@b>", "<@b>", "<\"\"@b>", "Name <a@b>", "\"a b\"@c", ""}) {
    EXPECT_EQ(parse(path, kStrictSender), "ERROR") << path;
  }
}

TEST(ParsePath, NullPathAndUtf8AreErrorsOfTheirOwn) {
  EXPECT_EQ(parse_path(PeerBytes("<>")).error(), PathError::empty);
  EXPECT_EQ(parse_path(PeerBytes("<\xc3\xa9@b>")).error(), PathError::not_utf8);
  EXPECT_EQ(parse_path(PeerBytes("<\xff@b>"), kSender).error(), PathError::not_utf8);
}

TEST(ParsePath, LengthLimitHoldsOnBothSides) {
  const std::string fits = "<" + std::string(10, 'a') + ">";
  EXPECT_TRUE(parse_path(PeerBytes(fits), {.limit_octets = 12}));
  EXPECT_EQ(parse_path(PeerBytes(fits), {.limit_octets = 11}).error(), PathError::too_long);
}

TEST(ParsePath, NulAndLineBreaksNeverGetIntoAnAddress) {
  using namespace std::string_view_literals;
  for (const std::string_view path :
       {"<a\0b@c>"sv, "<\"a\0b\"@c>"sv, "<\"a\nb\"@c>"sv, "<a\\\nb@c>"sv, "<\"a\\\rb\"@c>"sv}) {
    EXPECT_FALSE(parse_path(PeerBytes(path), kSender));
  }
  EXPECT_FALSE(Address::from_internal("a\nb@c"));
  EXPECT_FALSE(Address::from_parts("a", "b\rc"));
}

TEST(Address, ExternalFormQuotesTheLocalPart) {
  EXPECT_EQ(Address::from_internal("a b@c")->external(), "\"a b\"@c");
  EXPECT_EQ(Address::from_internal("a@b@c")->external(), "\"a@b\"@c");
  EXPECT_EQ(Address::from_internal("a.b@c")->external(), "a.b@c");
  EXPECT_EQ(Address{}.external(), "");
}

TEST(Quoting, FollowsDotAtomRules) {
  const std::vector<PathCase> cases{{"a@b", "a@b"},
                                    {"a b@c", "\"a b\"@c"},
                                    {"a.@b", "\"a.\"@b"},
                                    {".a@b", "\".a\"@b"},
                                    {"a..b@c", "\"a..b\"@c"},
                                    {"@b", "\"\"@b"},
                                    {"", ""},
                                    {"a\"b@c", "\"a\\\"b\"@c"},
                                    {"a\\b@c", "\"a\\\\b\"@c"},
                                    {"a!b%c@d", "a!b%c@d"},
                                    {"\xc3\xa9@b", "\xc3\xa9@b"},
                                    {"a", "a"},
                                    {"a,b", "\"a,b\""}};
  for (const auto& c : cases) {
    EXPECT_EQ(quote_822_local(c.path), c.internal);
    EXPECT_EQ(quote_821_local(c.path), c.internal);
    EXPECT_EQ(unquote_822_local(c.internal), c.path);
  }
}

TEST(Extension, SplitsAtTheFirstDelimiterOfTheSet) {
  EXPECT_EQ(split_extension("user+ext", "+").extension, "ext");
  EXPECT_EQ(split_extension("user+a-b", "-+").user, "user");
  EXPECT_EQ(split_extension("user+", "+").extension, "");
  EXPECT_FALSE(split_extension("+ext", "+").extension);
  EXPECT_FALSE(split_extension("user", "+").extension);
  EXPECT_FALSE(split_extension("user+ext", "").extension);
  EXPECT_FALSE(split_extension("MAILER-DAEMON", "-").extension);
  EXPECT_FALSE(split_extension("double-bounce", "-").extension);
  EXPECT_FALSE(split_extension("owner-list", "-").extension);
  EXPECT_FALSE(split_extension("list-request", "-").extension);
  EXPECT_EQ(split_extension("owner-list", "-", OwnerRequest::plain).extension, "list");
  EXPECT_EQ(strip_extension("a+b@c", "+"), "a@c");
  EXPECT_FALSE(strip_extension("a@b+c", "+"));
}

TEST(FoldCase, FoldsAsciiAndUnicodeButNotOtherBytes) {
  EXPECT_EQ(fold_case("User@EXAMPLE"), "user@example");
  EXPECT_EQ(fold_case("\xc3\x89"
                      "A"),
            "\xc3\xa9"
            "a");
  EXPECT_EQ(fold_case("\xc3\x89"
                      "A",
                      Utf8::forbid),
            "\xc3\x89"
            "a");
  EXPECT_EQ(fold_case("\xff"
                      "A"),
            "\xff"
            "a");
}

TEST(SplitPath, WhiteSpaceInBracketsOrQuotesDoesNotEndThePath) {
  EXPECT_EQ(split_path("<a b> X=1 Y").path, "<a b>");
  EXPECT_EQ(split_path("<a b> X=1 Y").rest, "X=1 Y");
  EXPECT_EQ(split_path("\"a b\"@c D").path, "\"a b\"@c");
  EXPECT_EQ(split_path("<a").rest, "");
}

}  // namespace
}  // namespace stagepost::mail
