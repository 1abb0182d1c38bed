// Query templates become statements with bound values.
#include "sql_text.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps::sqlite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The statement, then each parameter as it is for a key.
std::vector<std::string> bound(std::string_view query, std::string_view key = "o'hara@example.com") {
  auto statement = bind_template(query, "f");
  if (!statement) { return {statement.error().message()}; }
  std::vector<std::string> all{statement->sql};
  for (const Template& parameter : statement->parameters) {
    const auto value = parameter.query(KeyParts(key), [](std::string_view part) { return std::string(part); });
    all.push_back(!value ? "error" : value->value_or("(none)"));
  }
  return all;
}

TEST(SqliteQuery, QuotedPartsOfTheKeyBecomeParameters) {
  EXPECT_THAT(bound("SELECT a FROM t WHERE k = '%s'"),
              ElementsAre("SELECT a FROM t WHERE k = ?1", "o'hara@example.com"));
  EXPECT_THAT(bound("SELECT '%u', '@%d' , 'it''s %1'"),
              ElementsAre("SELECT ?1, ?2 , ?3", "o'hara", "@example.com", "it's com"));
  EXPECT_THAT(bound("SELECT a FROM t WHERE k LIKE '%%%s%%'", "x"),
              ElementsAre("SELECT a FROM t WHERE k LIKE ?1", "%x%"));
}

TEST(SqliteQuery, PartsOutsideOfQuotesAreBoundToo) {
  EXPECT_THAT(bound("SELECT a FROM t WHERE id = %s", "1 OR 1=1"),
              ElementsAre("SELECT a FROM t WHERE id = ?1", "1 OR 1=1"));
  EXPECT_THAT(bound("SELECT \"%s\"", "\" OR 1"), ElementsAre("SELECT ?1", "\" OR 1"));
  EXPECT_TRUE(bind_template("SELECT \"%s\"", "f")->has_double_quotes);
  EXPECT_FALSE(bind_template("SELECT \"a\" FROM t WHERE k = '%s'", "f")->has_double_quotes);
}

TEST(SqliteQuery, OtherTextStays) {
  EXPECT_THAT(bound("SELECT 'it''s', \"a\"\"b\", `c%%`, [d'], 5 %% 3, '%%'"),
              ElementsAre("SELECT 'it''s', \"a\"\"b\", `c%`, [d'], 5 % 3, '%'"));
  EXPECT_THAT(bound("SELECT 1 -- it's %s\n, 2 /* '%s */ FROM t"), ElementsAre("SELECT 1  \n, 2   FROM t"));
}

TEST(SqliteQuery, BadTemplatesAreErrors) {
  EXPECT_THAT(bound("SELECT '%s"), ElementsAre(HasSubstr("f: query: ' without an end")));
  EXPECT_THAT(bound("SELECT /* x"), ElementsAre(HasSubstr("without an end")));
  EXPECT_THAT(bound("SELECT [x"), ElementsAre(HasSubstr("without an end")));
  EXPECT_THAT(bound("SELECT '%x'"), ElementsAre(HasSubstr("f")));
  EXPECT_THAT(bound("SELECT %"), ElementsAre(HasSubstr("f")));
  std::string many;
  for (int i = 0; i < 101; ++i) { many += "%s "; }
  EXPECT_THAT(bound(many), ElementsAre(HasSubstr("more than 100")));
}

TEST(SqliteQuery, KeysWithoutAPartHaveNoQuery) {
  EXPECT_THAT(bound("SELECT '%d'", "user"), ElementsAre("SELECT ?1", "(none)"));
}

}  // namespace
}  // namespace stagepost::maps::sqlite
