// The files with descriptions of parameters.
#include "manual/descriptions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::manual {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view content) {
  Descriptions descriptions;
  const auto added = descriptions.add(content, "a.txt");
  if (!added) { return added.error().message(); }
  const auto finished = descriptions.finish();
  return finished ? "none" : finished.error().message();
}

TEST(Descriptions, AreNamesWithSentences) {
  Descriptions descriptions;
  ASSERT_TRUE(descriptions.add("# a comment\n\nname: Text = that\n  goes on.\n_suffix: Another.\n", "a.txt"));
  ASSERT_TRUE(descriptions.add("copy: For LMTP. =name\n", "b.txt"));
  const auto all = descriptions.finish();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ(all->at("name").text, "Text = that goes on.");
  EXPECT_EQ(all->at("name").same_as, "");
  EXPECT_EQ(all->at("_suffix").text, "Another.");
  EXPECT_EQ(all->at("copy").text, "For LMTP. Text = that goes on.");
  EXPECT_EQ(all->at("copy").same_as, "name");
}

TEST(Descriptions, MistakesNameTheLine) {
  EXPECT_THAT(error_of("  text\n"), HasSubstr("a.txt, line 1: text without a name"));
  EXPECT_THAT(error_of("a: One.\n\n b\n"), HasSubstr("a.txt, line 3: text without a name"));
  EXPECT_THAT(error_of("a: One.\nb\n"), HasSubstr("a.txt, line 2: want"));
  EXPECT_THAT(error_of("a b: One.\n"), HasSubstr("want"));
  EXPECT_THAT(error_of(": One.\n"), HasSubstr("want"));
  EXPECT_THAT(error_of("a: One.\na: Two.\n"), HasSubstr("line 2: a has a text already"));
  EXPECT_THAT(error_of("a: " + std::string(Descriptions::kLongest, 'x') + ".\n"), HasSubstr("longer than"));
  EXPECT_THAT(error_of("a: no sentence\n"), HasSubstr("is no sentence"));
  EXPECT_THAT(error_of("a: As. =b\n"), HasSubstr("no text for \"b\""));
  EXPECT_THAT(error_of("a: As. =b\nb: As. =c\nc: Text.\n"), HasSubstr("is no sentence"));
}

}  // namespace
}  // namespace stagepost::manual
