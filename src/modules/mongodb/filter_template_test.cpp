// Filters made of keys: what a key fills in, and that it cannot be more than text.
#include "filter_template.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps::mongodb {
namespace {

using testing::HasSubstr;

std::string shown(const bson_t* document) {
  char* text = ::bson_as_relaxed_extended_json(document, nullptr);
  std::string copy(text);
  ::bson_free(text);
  return copy;
}

/// As JSON; "-": nothing to ask for.
std::string made(std::string_view json, std::string_view key) {
  const auto parsed = FilterTemplate::parse(json, "f");
  if (!parsed) { return parsed.error().message(); }
  const auto filter = parsed->make(KeyParts(key));
  if (!filter) { return "error: " + filter.error().context; }
  return *filter ? shown((*filter)->get()) : "-";
}

std::string refused(std::string_view json) {
  const auto parsed = FilterTemplate::parse(json, "f");
  return parsed ? "accepted" : parsed.error().context;
}

/// The string that field "a" of the filter is.
std::string text_of_a(std::string_view json, std::string_view key) {
  const auto parsed = FilterTemplate::parse(json, "f");
  const auto filter = parsed->make(KeyParts(key));
  bson_iter_t iter;
  if (!filter || !*filter || !::bson_iter_init_find(&iter, (*filter)->get(), "a")) { return "no filter"; }
  std::uint32_t length = 0;
  const char* text = ::bson_iter_utf8(&iter, &length);
  return text == nullptr ? "no string" : std::string(text, length);
}

TEST(MongodbFilter, FillsInPartsOfTheKey) {
  struct Row {
    std::string_view json, key, expected;
  };
  const Row rows[] = {
      {R"({"a": "%s"})", "u@ex.com", R"({ "a" : "u@ex.com" })"},
      {R"({"a": "%u at %d, %S %U %D"})", "u@ex.com", R"({ "a" : "u at ex.com, u@ex.com u ex.com" })"},
      {R"({"a": "%2.%1"})", "u@mail.ex.com", R"({ "a" : "ex.com" })"},
      {R"({"a": "%u"})", "plain", R"({ "a" : "plain" })"},
      {R"({"a": "%d"})", "plain", "-"},
      {R"({"a": "x", "b": [1, {"c": "%u"}]})", "@ex.com", "-"},
      {R"({"a": "%s"})", {}, "-"},
      {R"({"a": "%s"})", "", "-"},
      {R"({"a": "x"})", {}, R"({ "a" : "x" })"},
      {R"({"a": "100%%"})", "k", R"({ "a" : "100%" })"},
      {R"({"a%%": "%s"})", "k", R"({ "a%" : "k" })"},
      {R"( {"$or": [{"user": "%s"}, {"alias.address": "%s"}], "active": 1} )", "k",
       R"({ "$or" : [ { "user" : "k" }, { "alias.address" : "k" } ], "active" : 1 })"},
      {R"({"a": {"$in": ["%s", "@%d", "x", true, null, 1.5, {"$oid": "0123456789abcdef01234567"}]}})", "u@d",
       R"({ "a" : { "$in" : [ "u@d", "@d", "x", true, null, 1.5, { "$oid" : "0123456789abcdef01234567" } ] } })"},
      {R"({})", "k", "{ }"},
      {R"({"a": {}, "b": []})", "k", R"({ "a" : {  }, "b" : [  ] })"},
      {R"({"a": "\u00fc%s\n"})", "\xc3\xbc", "{ \"a\" : \"\xc3\xbc\xc3\xbc\\n\" }"},
  };
  for (const Row& row : rows) { EXPECT_EQ(made(row.json, row.key), row.expected) << row.json << " " << row.key; }
}

TEST(MongodbFilter, AKeyIsOneStringWhateverItLooksLike) {
  const std::vector<std::string> keys = {R"(", "$where": "1)",
                                         R"("}, {"a": {"$ne": null)",
                                         R"(\)",
                                         R"(\")",
                                         R"({"$ne": ""})",
                                         "$where",
                                         "$ne",
                                         "%s",
                                         "%d%%",
                                         "'",
                                         "\n",
                                         std::string("a\0b", 3),
                                         std::string(50'000, '"'),
                                         "\xf0\x9f\x98\x80",
                                         "\x01\x7f",
                                         R"(\u0022)",
                                         "/*",
                                         ".*"};
  for (const std::string& key : keys) {
    EXPECT_EQ(text_of_a(R"({"a": "%s"})", key), key);
    EXPECT_EQ(text_of_a(R"({"b": ["%s"], "a": "<%s|%s>", "c": 1})", key), "<" + key + "|" + key + ">");
  }
}

TEST(MongodbFilter, ARegularExpressionTakesTheKeyAsItIs) {
  EXPECT_EQ(made(R"({"a": {"$regex": "^%u\\+?x$"}})", "a.b*"),
            R"({ "a" : { "$regularExpression" : { "pattern" : "^a\\.b\\*\\+?x$", "options" : "" } } })");
  EXPECT_EQ(made(R"({"a": {"$not": {"$regex": "%s"}}})", ".*"),
            R"({ "a" : { "$not" : { "$regularExpression" : { "pattern" : "\\.\\*", "options" : "" } } } })");
  EXPECT_EQ(
      made(R"({"a": {"$regex": "^%s$", "$options": "ix"}})", "a b#\xc3\xbc"),
      "{ \"a\" : { \"$regularExpression\" : { \"pattern\" : \"^a\\\\ b\\\\#\xc3\xbc$\", \"options\" : \"ix\" } } }");
  EXPECT_THAT(made(R"({"a": {"$regularExpression": {"pattern": "%s", "options": ""}}})", "(.|"),
              HasSubstr(R"(\\(\\.\\|)"));
  EXPECT_THAT(made(R"({"a": {"$in": [{"$regularExpression": {"pattern": "%s", "options": ""}}]}})", "."),
              HasSubstr(R"("\\.")"));
  EXPECT_THAT(made(R"({"a": {"$regex": "%s"}})", std::string_view("a\0b", 3)), HasSubstr("error: a key with a NUL"));
}

TEST(MongodbFilter, InAnExpressionAKeyIsNoPath) {
  EXPECT_EQ(made(R"({"$expr": {"$eq": [{"$toLower": "$name"}, "%s"]}})", "$name"),
            R"({ "$expr" : { "$eq" : [ { "$toLower" : "$name" }, { "$literal" : "$name" } ] } })");
  EXPECT_EQ(made(R"({"$expr": {"$eq": ["$name", {"$literal": "%s"}]}})", "$name"),
            R"({ "$expr" : { "$eq" : [ "$name", { "$literal" : "$name" } ] } })");
  EXPECT_EQ(made(R"({"$expr": {"$regexMatch": {"input": "%s", "regex": "$pattern"}}})", "$$ROOT"),
            R"({ "$expr" : { "$regexMatch" : { "input" : { "$literal" : "$$ROOT" }, "regex" : "$pattern" } } })");
  EXPECT_EQ(made(R"({"$expr": {"$regexMatch": {"input": "$name", "regex": "%s"}}})", ".*"),
            R"({ "$expr" : { "$regexMatch" : { "input" : "$name", "regex" : { "$literal" : "\\.\\*" } } } })");
  EXPECT_THAT(refused(R"({"$expr": {"$eq": ["$aliases.%u", 1]}})"), HasSubstr("cannot be in a path"));
  EXPECT_EQ(made(R"({"a": "$%s"})", "k"), R"({ "a" : "$k" })");
}

TEST(MongodbFilter, RefusesPartsThatCouldBeMoreThanText) {
  EXPECT_THAT(refused(R"({"%s": 1})"), HasSubstr("f: query_filter: a part of the key cannot be the name of a field"));
  EXPECT_THAT(refused(R"({"a": {"b.%u": 1}})"), HasSubstr("name of a field"));
  EXPECT_THAT(refused(R"({"$where": "this.a == '%s'"})"), HasSubstr("cannot be in $where"));
  EXPECT_THAT(refused(R"({"$text": {"$search": "%s"}})"), HasSubstr("cannot be in $text"));
  EXPECT_THAT(refused(R"({"$jsonSchema": {"properties": {"a": {"pattern": "%s"}}}})"), HasSubstr("$jsonSchema"));
  EXPECT_THAT(refused(R"({"$expr": {"$function": {"body": "return '%s'", "args": [], "lang": "js"}}})"),
              HasSubstr("$function"));
  EXPECT_THAT(refused(R"({"$where": {"$code": "a"}})"), HasSubstr("code and symbols"));
  EXPECT_THAT(refused(R"({"a": {"$symbol": "%s"}})"), HasSubstr("code and symbols"));
  EXPECT_THAT(refused(R"({"a": %s})"), HasSubstr("f: query_filter: not a JSON object"));
  EXPECT_THAT(refused(R"({"a": {"$numberLong": "%s"}})"), HasSubstr("not a JSON object"));
  EXPECT_THAT(refused(R"({"a": "%x"})"), HasSubstr("invalid query_filter template"));
  EXPECT_THAT(refused(R"({"a": "%"})"), HasSubstr("invalid query_filter template"));
  EXPECT_EQ(refused(R"({"$where": "this.a == 1"})"), "accepted");
}

TEST(MongodbFilter, RefusesWhatIsNoObject) {
  for (const char* json : {"", " ", "x", "[1]", "1", "\"%s\"", "{", "{\"a\"", "{\"a\": 1", "{\"a\": 1}}",
                           "{\"a\": 1} {}", "{\"a\": 1} x", "{'a': 1}", "{\"a\": 1,}", "{\"a\": \"\xff\"}"}) {
    EXPECT_THAT(refused(json), HasSubstr("not a JSON object")) << json;
  }
  std::string deep;
  for (int i = 0; i < 95; ++i) { deep += R"({"a": )"; }
  deep += "1" + std::string(95, '}');
  EXPECT_NE(refused(deep), "accepted");
  std::string endless;
  for (int i = 0; i < 100'000; ++i) { endless += R"({"a": )"; }
  EXPECT_NE(refused(endless), "accepted");
}

TEST(MongodbFilter, AKeyThatIsNotUtf8IsNowhere) {
  EXPECT_EQ(made(R"({"a": "%s"})", "a\xff"), "-");
  EXPECT_EQ(made(R"({"a": "%s"})", "\xc3"), "-");
}

TEST(MongodbFilter, KnowsWhetherTheKeyMatters) {
  EXPECT_TRUE(FilterTemplate::parse(R"({"a": ["x", {"b": "%s"}]})", "f")->has_parts());
  EXPECT_FALSE(FilterTemplate::parse(R"({"a": "100%%"})", "f")->has_parts());
}

TEST(MongodbFilter, OneTemplateServesManyKeys) {
  auto parsed = FilterTemplate::parse(R"({"x": {"$oid": "0123456789abcdef01234567"}, "a": "%s"})", "f");
  ASSERT_TRUE(parsed.has_value());
  const FilterTemplate moved = *std::move(parsed);
  for (const char* key : {"one", "two", "three"}) {
    const auto filter = moved.make(KeyParts(key));
    EXPECT_EQ(shown((*filter)->get()),
              std::string(R"({ "x" : { "$oid" : "0123456789abcdef01234567" }, "a" : ")") + key + "\" }");
  }
}

}  // namespace
}  // namespace stagepost::maps::mongodb
