// $ expansion against what postconf -x of Postfix 3.7 prints, and its limits.
#include "config/expansion.hpp"

#include <map>

#include <gtest/gtest.h>

namespace stagepost::config {
namespace {

Result<std::string> expand_in_test(std::string_view text, const ExpansionLimits& limits = {}) {
  static const std::map<std::string, std::string, std::less<>> values = {
      {"n", "Postfix"}, {"empty", ""}, {"level", "3.6"}, {"big", std::string(1000, 'x')}, {"myhostname", "host"}};
  return expand(
      text,
      [](std::string_view name) -> Result<std::optional<std::string>> {
        const auto found = values.find(name);
        if (name == "broken") { return failure("broken"); }
        return found == values.end() ? std::nullopt : std::optional<std::string>(found->second);
      },
      limits);
}

TEST(Expansion, GivesWhatPostfixGives) {
  struct Case {
    const char* text;
    const char* result;
  };
  for (const Case& c : {
           Case{"", ""},
           Case{"plain", "plain"},
           Case{"x$$y", "x$y"},
           Case{"$n", "Postfix"},
           Case{"$n.x", "Postfix.x"},
           Case{"$n-b", "Postfix-b"},
           Case{"$(n)", "Postfix"},
           Case{"${n}", "Postfix"},
           Case{"${ n }", "Postfix"},
           Case{"${n}}", "Postfix}"},
           Case{"{$n}", "{Postfix}"},
           Case{"$1x", ""},
           Case{"${nope}", ""},
           Case{"${n?{x}}", "x"},
           Case{"${n?x}", "x"},
           Case{"${n?a:b}", "a:b"},
           Case{"${n?{x}:y}", "x"},
           Case{"${n?{x}:{y}}", "x"},
           Case{"${nope?{x}:{y}}", "y"},
           Case{"${empty?{x}:{y}}", "y"},
           Case{"${n ? {a} : {b}}", "a"},
           Case{"${n?}", ""},
           Case{"${n:x}", ""},
           Case{"${nope:}", ""},
           Case{"${nope:x}", "x"},
           Case{"${nope:{ x }}", " x "},
           Case{"${n? a b }x", " a b x"},
           Case{"$(n?{a}:{b})", "a"},
           Case{"$(n?a}b)", "a}b"},
           Case{"${n?{a}: b}x", "ax"},
           Case{"q${n ?x}", "qx"},
           Case{"${n?${myhostname?{in}}}", "in"},
           Case{"${{a}=={a}?{x}:{y}}", "x"},
           Case{"${{a} == {b}?{x}:{y}}", "y"},
           Case{"${{a}=={b}?{x}}", ""},
           Case{"${{a}=={b}:{x}}", "x"},
           Case{"${{a}=={a}?x:y}", "x:y"},
           Case{"${{a}=={a}}", "true"},
           Case{"${{a}=={b}}", ""},
           Case{"${{ a } == {a}?{x}:{y}}", "y"},
           Case{"${{A}=={a}?{x}:{y}}", "y"},
           Case{"${{10}<{9}?{x}:{y}}", "y"},
           Case{"${{a10}<{a9}?{x}:{y}}", "x"},
           Case{"${{007}=={7}?{x}:{y}}", "x"},
           Case{"${{-1}<{1}?{x}:{y}}", "x"},
           Case{"${{a}!={b}?{$n}}", "Postfix"},
           Case{"${{2}>={2}?{x}:{y}}", "x"},
           Case{"${{2}>{2}?{x}:{y}}", "y"},
           Case{"${{2}<={1}?{x}:{y}}", "y"},
           Case{"${{}=={}?{e}}", "e"},
           Case{"${{$nope}=={}?yy:zz}", "yy:zz"},
           Case{"${{3.10}>level{3.9}?{x}:{y}}", "x"},
           Case{"${{$level} <level {3.6} ? {md5} : {sha256}}", "sha256"},
           Case{"${{0} <level {1} ? {yes} : {no}}", "yes"},
           Case{"${{3}==level{3.0}?{x}:{y}}", "x"},
           Case{"${{3.6}>=level{4}?{x}:{y}}", "y"},
       }) {
    const auto result = expand_in_test(c.text);
    ASSERT_TRUE(result.has_value()) << c.text << ": " << result.error().message();
    EXPECT_EQ(*result, c.result) << c.text;
  }
}

TEST(Expansion, RefusesWhatPostfixRefuses) {
  for (const char* text : {"a${b",
                           "a${b?",
                           "$",
                           "a $ b",
                           "${}",
                           "$()",
                           "${a-b}",
                           "${n?{x}y}",
                           "${n?{x}:{y}z}",
                           "${n:{x}:{y}}",
                           "${{x}>level{3.9}?{x}:{y}}",
                           "${{a}~{b}?{x}:{y}}",
                           "${n?a$}",
                           "$\xc3\xa9",
                           "${n?{a}{b}}",
                           "${{a}==b?{x}}",
                           "${n!}",
                           "${{a}<  level{b}?{x}:{y}}",
                           "${n?{a:b}",
                           "${n {x}}",
                           "${{99999999999999999999}=={99999999999999999998}?{x}:{y}}",
                           "${{1.2.3.4}==level{1}?{x}}",
                           "$broken",
                           "${{$broken}=={}?{x}}"}) {
    EXPECT_FALSE(expand_in_test(text).has_value()) << text;
  }
}

TEST(Expansion, OnlyTheChosenBranchIsEvaluated) {
  EXPECT_EQ(expand_in_test("${n?{ok}:{$broken}}"), "ok");
  EXPECT_EQ(expand_in_test("${nope?{$broken}:{ok}}"), "ok");
}

TEST(Expansion, ResultHasALimit) {
  EXPECT_EQ(expand_in_test("$big", {.depth = 50, .result_bytes = 1000})->size(), 1000U);
  EXPECT_FALSE(expand_in_test("$big.", {.depth = 50, .result_bytes = 1000}).has_value());
}

TEST(Expansion, NestingHasALimit) {
  const auto nested = [](std::size_t depth) {
    std::string text;
    for (std::size_t i = 0; i < depth; ++i) { text += "${n?{"; }
    text += "x";
    for (std::size_t i = 0; i < depth; ++i) { text += "}}"; }
    return text;
  };
  EXPECT_EQ(expand_in_test(nested(50)), "x");
  EXPECT_FALSE(expand_in_test(nested(51)).has_value());
  EXPECT_FALSE(expand_in_test(nested(5000)).has_value());
}

}  // namespace
}  // namespace stagepost::config
