// Values taken from documents, and the projection that is sent for them.
#include "document_values.hpp"

#include <cstring>
#include <optional>
#include <string>

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

struct Outcome {
  std::string value;  ///< "-": none; "error: ..."
  std::string ignored;
};

Outcome values(const ResultFields& fields, std::string_view json, std::string_view settings = "") {
  const auto rules = ResultRules::read(ClientSource::parse(settings, "f", {}).value()).value();
  ResultList results(rules, "key@ex.test");
  IgnoredFields ignored;
  const auto document = parse_json(json);
  if (!document) { return {"bad JSON", document.error().context}; }
  const auto added = add_values(document->get(), fields, results, ignored);
  if (!added) { return {"error: " + added.error().context, ignored.text()}; }
  return {results.take().value_or("-"), ignored.text()};
}

TEST(MongodbValues, TextAndWholeNumbersInTheDocumentsOrder) {
  const auto all = ResultFields::of_names("");
  EXPECT_EQ(values(all, R"({"a": "x", "b": 7, "c": {"$numberLong": "-5000000000"}})").value, "x,7,-5000000000");
  EXPECT_EQ(values(all, R"({"a": ["x", "", 1, ["y", [2]]], "b": ""})").value, "x,1,y,2");
  EXPECT_EQ(values(all, R"({})").value, "-");
  EXPECT_EQ(values(all, R"({"_id": {"$oid": "0123456789abcdef01234567"}, "a": "x"})").value, "x");
  EXPECT_EQ(values(all, R"({"_id": {"$oid": "0123456789abcdef01234567"}, "a": "x"})").ignored, "");
  EXPECT_EQ(values(all, R"({"_id": "name"})").value, "name");
}

TEST(MongodbValues, OtherTypesAreIgnoredAndNamed) {
  const auto all = ResultFields::of_names("");
  const Outcome some = values(all, R"({"a": true, "b": "x", "c": {"d": "y"}, "e": [null]})");
  EXPECT_EQ(some.value, "x");
  EXPECT_EQ(some.ignored, R"("a" (boolean), "c" (document), "e" (null))");
  const Outcome many = values(all, R"({"a": 1.5, "b": 1.5, "c": 1.5, "d": 1.5, "e": 1.5, "a\n": 1.5})");
  EXPECT_EQ(many.value, "-");
  EXPECT_EQ(many.ignored, R"("a" (double), "b" (double), "c" (double), ...)");
  EXPECT_EQ(values(all, R"({"l": [1.5, 2.5, 3.5]})").ignored, R"("l" (double))");
  EXPECT_EQ(values(all, R"({"a\n": false})").ignored, R"("a?" (boolean))");
}

TEST(MongodbValues, PathsLeadIntoEmbeddedDocuments) {
  const auto one = ResultFields::of_names("alias.address, x.y.z");
  EXPECT_EQ(values(one, R"({"alias": {"address": "a"}, "x": {"y": {"z": 3}}})").value, "a,3");
  EXPECT_EQ(values(one, R"({"alias": [{"address": "a"}, {"address": ["b", "c"]}, {}]})").value, "a,b,c");
  EXPECT_EQ(values(one, R"({"x": {"y": {"z": {"more": 1}}}})").ignored, R"("x.y.z" (document))");
  EXPECT_EQ(values(one, R"({"aliases": {"address": "a"}})").value, "-");
  EXPECT_EQ(values(one, R"({"alias": {"_id": {"$oid": "0123456789abcdef01234567"}, "address": "a"}})").value, "a");
}

TEST(MongodbValues, TheRulesOfResultsHold) {
  const auto all = ResultFields::of_names("");
  EXPECT_EQ(values(all, R"({"a": ["u@h", "plain"]})", "result_format = %u at %d for %S").value,
            "u at h for key@ex.test");
  EXPECT_EQ(values(all, R"({"a": ["x", "y"]})", "expansion_limit = 2").value, "x,y");
  EXPECT_THAT(values(all, R"({"a": ["x", "y", "z"]})", "expansion_limit = 2").value,
              HasSubstr("error: expansion limit exceeded"));
}

TEST(MongodbValues, ProjectionOfNames) {
  const auto projected = [](std::string_view names) { return shown(ResultFields::of_names(names).projection()); };
  EXPECT_EQ(projected("a, b.c\n d"), R"({ "a" : 1, "b.c" : 1, "d" : 1, "_id" : 0 })");
  EXPECT_EQ(projected("a a,a"), R"({ "a" : 1, "_id" : 0 })");
  EXPECT_EQ(projected(""), R"({ "_id" : 0 })");
  EXPECT_EQ(projected("_id"), R"({ "_id" : 1 })");
}

TEST(MongodbValues, ProjectionAsGiven) {
  const auto fields =
      ResultFields::of_projection(R"({"a.b": 1, "c": {"d": true, "e": 0}, "f": {"$slice": 3}, "g.h": 0})");
  ASSERT_TRUE(fields.has_value());
  EXPECT_EQ(shown(fields->projection()),
            R"({ "a.b" : 1, "c" : { "d" : true, "e" : 0 }, "f" : { "$slice" : 3 }, "g.h" : 0, "_id" : 0 })");
  EXPECT_TRUE(fields->inside("a"));
  EXPECT_TRUE(fields->inside("c"));
  EXPECT_FALSE(fields->inside("f"));
  EXPECT_FALSE(fields->inside("g"));
  EXPECT_FALSE(fields->inside("a.b"));
  EXPECT_EQ(values(*fields, R"({"a": {"b": "x"}, "c": {"d": "y"}, "f": ["z"]})").value, "x,y,z");
  EXPECT_EQ(shown(ResultFields::of_projection(R"({"_id": 1})")->projection()), R"({ "_id" : 1 })");
  EXPECT_FALSE(ResultFields::of_projection("[1]").has_value());
  EXPECT_FALSE(ResultFields::of_projection("{\"a\": ").has_value());
}

TEST(MongodbValues, ADamagedDocumentIsAFailure) {
  // {"a": "x", "b": ?}, with a type that there is not.
  const unsigned char bytes[] = {22, 0, 0, 0, 2, 'a', 0, 2, 0, 0, 0, 'x', 0, 0x55, 'b', 0, 2, 0, 0, 0, 'y', 0};
  bson_t document;
  ASSERT_FALSE(::bson_init_static(&document, bytes, sizeof bytes - 1));
  ASSERT_TRUE(::bson_init_static(&document, bytes, sizeof bytes));
  const auto rules = ResultRules::read(ClientSource::parse("", "f", {}).value()).value();
  ResultList results(rules, "key");
  IgnoredFields ignored;
  const auto added = add_values(&document, ResultFields::of_names(""), results, ignored);
  ASSERT_FALSE(added.has_value());
  EXPECT_THAT(added.error().context, HasSubstr("damaged document"));
}

}  // namespace
}  // namespace stagepost::maps::mongodb
