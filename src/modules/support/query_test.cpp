// Queries made from keys, and results made from values. The expected answers are those of Postfix 3.7 with a server.
#include "query.hpp"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps {
namespace {

using testing::HasSubstr;
using MaybeText = std::optional<std::string>;

MaybeText query(std::string_view text, std::string_view key) {
  const auto parsed = Template::parse(text, "f", "query");
  EXPECT_TRUE(parsed.has_value()) << text;
  auto made = parsed->query(KeyParts(key), [](std::string_view part) -> Result<std::string> {
    std::string quoted;
    for (const char c : part) { quoted += c == '\'' ? std::string("''") : std::string(1, c); }
    return quoted;
  });
  EXPECT_TRUE(made.has_value());
  return *made;
}

ResultRules rules(std::string_view settings) {
  return ResultRules::read(ClientSource::parse(settings, "f", {}).value()).value();
}

MaybeText result(std::string_view format, std::string_view key, const std::vector<std::string>& values) {
  const ResultRules how = rules(std::string("result_format = ") + std::string(format));
  if (!how.format().key_suffices(KeyParts(key))) { return std::nullopt; }
  ResultList list(how, key);
  for (const std::string& value : values) { EXPECT_TRUE(list.add(value).has_value()); }
  return list.take();
}

TEST(Query, FillsInPartsOfTheKey) {
  struct Row {
    std::string_view text, key;
    MaybeText expected;
  };
  const Row rows[] = {
      {"<%s>", "u@ex.com", "<u@ex.com>"},
      {"<%s>", "u@", "<u@>"},
      {"<%s>", "@", "<@>"},
      {"<%s>", "", std::nullopt},
      {"<%u>", "u@ex.com", "<u>"},
      {"<%u>", "u", "<u>"},
      {"<%u>", "u@", "<u>"},
      {"<%u>", "@ex.com", std::nullopt},
      {"<%u>", "@", std::nullopt},
      {"<%u>", "a@@b", "<a@>"},
      {"<%u|%d>", "a@b@c.d", "<a@b|c.d>"},
      {"<%d>", "@ex.com", "<ex.com>"},
      {"<%d>", "u@", std::nullopt},
      {"<%d>", "ex.com", std::nullopt},
      {"%S %U %D", "u@ex.com", "u@ex.com u ex.com"},
      {"%1 %2", "u@ex.com", "com ex"},
      {"%1 %2", "u@com", std::nullopt},
      {"%1", "ex.com", std::nullopt},
      {"%1 %2", "u@a..b", "b a"},
      {"%1 %2", "u@.a.b", "b a"},
      {"%1 %2", "u@a.", std::nullopt},
      {"%3", "u@.a.b", std::nullopt},
      {"%3", "u@a.b.c.", "a"},
      {"%3", "u@.a.b.c", "a"},
      {"%9", "u@9.8.7.6.5.4.3.2.1", "9"},
      {"%9", "u@x.9.8.7.6.5.4.3.2.1", "9"},
      {"%9", "u@8.7.6.5.4.3.2.1", std::nullopt},
      {"a%%b%%s", "k", "a%b%s"},
      {"constant", "k", "constant"},
      {"'%s'", "o'k", "'o''k'"},
  };
  for (const Row& row : rows) { EXPECT_EQ(query(row.text, row.key), row.expected) << row.text << " " << row.key; }
}

TEST(Query, WhatIsFilledInIsNotATemplate) { EXPECT_EQ(query("%u-%d", "%d@%s"), "%d-%s"); }

TEST(Query, RefusesOtherLetters) {
  for (const std::string_view text : {"%x", "abc%", "%0", "%%%", "%\n"}) {
    const auto parsed = Template::parse(text, "/etc/x.cf", "query");
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_THAT(parsed.error().message(), HasSubstr("/etc/x.cf: invalid query template"));
  }
}

TEST(Query, AFailedQuoteIsAnError) {
  const auto parsed = Template::parse("%s", "f", "query").value();
  const auto made = parsed.query(KeyParts("k"), [](std::string_view) -> Result<std::string> { return failure("no"); });
  EXPECT_FALSE(made.has_value());
}

TEST(ResultList, FormatsAndJoins) {
  const std::vector<std::string> two{"x@y.org", "z"};
  const std::vector<std::string> odd{"@only", "l@"};
  EXPECT_EQ(result("%s", "u@ex.com", two), "x@y.org,z");
  EXPECT_EQ(result("%s", "k", odd), "@only,l@");
  EXPECT_EQ(result("%s", "k", {""}), std::nullopt);
  EXPECT_EQ(result("%s", "k", {}), std::nullopt);
  EXPECT_EQ(result("%s", "k", {"", "a", ""}), "a");
  EXPECT_EQ(result("X", "k", odd), "X,X");
  EXPECT_EQ(result("<%s|%u|%d>", "u@ex.com", two), "<x@y.org|x|y.org>");
  EXPECT_EQ(result("<%u>", "k", odd), "<l>");
  EXPECT_EQ(result("<%d>", "k", odd), "<only>");
  EXPECT_EQ(result("<%s|%S|%U>", "mix", odd), "<@only|mix|mix>,<l@|mix|mix>");
  EXPECT_EQ(result("<%s|%D|%1>", "u@ex.com", two), "<x@y.org|ex.com|com>,<z|ex.com|com>");
  EXPECT_EQ(result("<%s|%D>", "one", two), std::nullopt);
  EXPECT_EQ(result("smtp:[%s]%%", "k", {"h"}), "smtp:[h]%");
}

TEST(ResultList, LimitsTheNumberOfValues) {
  const ResultRules how = rules("expansion_limit = 2");
  ResultList list(how, "k");
  EXPECT_TRUE(list.add("a").has_value());
  EXPECT_TRUE(list.add("").has_value());
  EXPECT_TRUE(list.add("b").has_value());
  EXPECT_FALSE(list.add("c").has_value());
}

TEST(ResultList, LimitsTheLengthOfTheResult) {
  const ResultRules how = rules("");
  ResultList list(how, "k");
  EXPECT_TRUE(list.add(std::string(kValueLimit - 1, 'x')).has_value());
  EXPECT_FALSE(list.add("y").has_value());
}

TEST(ResultRules, ReadsOlderNamesAndRefusesNonsense) {
  const auto read = [](std::string_view content) {
    return ResultRules::read(ClientSource::parse(content, "f", {}).value(), "result_filter");
  };
  const auto old = read("result_filter = <%s>");
  ASSERT_TRUE(old.has_value());
  EXPECT_EQ(old->format().result(KeyParts("v"), KeyParts("k")), "<v>");
  const auto both = read("result_filter = <%s>\nresult_format = %s");
  ASSERT_TRUE(both.has_value());
  EXPECT_EQ(both->format().result(KeyParts("v"), KeyParts("k")), "v");
  EXPECT_EQ(read("result_format =")->format().result(KeyParts("v"), KeyParts("k")), "v");
  EXPECT_FALSE(ResultRules::read(ClientSource::parse("result_format =", "f", {}).value()).has_value());
  EXPECT_FALSE(read("result_format = %x").has_value());
  EXPECT_FALSE(read("expansion_limit = x").has_value());
}

}  // namespace
}  // namespace stagepost::maps
