#include "maps/required_text.hpp"

#include <random>
#include <regex.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RequiredText, IsWhatIsPlainlyThere) {
  EXPECT_THAT(required_text("^subject: .*offer-7-(now|today)$"), ElementsAre("subject: ", "offer-7-"));
  EXPECT_THAT(required_text("abc"), ElementsAre("abc"));
  EXPECT_THAT(required_text("a\\.b\\/c"), ElementsAre("a.b/c"));
  EXPECT_THAT(required_text("ab*cd"), ElementsAre("cd"));
  EXPECT_THAT(required_text("abc+*de"), ElementsAre("ab", "de"));
  EXPECT_THAT(required_text("abc{0,3}de"), ElementsAre("ab", "de"));
  EXPECT_THAT(required_text("ab[]x|[:alpha:])]cd"), ElementsAre("ab", "cd"));
  EXPECT_THAT(required_text("ab(x|[)]\\)(y))?cd"), ElementsAre("ab", "cd"));
  EXPECT_THAT(required_text("ab\\bcd\\<ef"), ElementsAre("ab", "cd", "ef"));
}

TEST(RequiredText, IsNothingWhereThereIsAChoiceOrDoubt) {
  for (const char* pattern : {"", "ab|cd", "ab)cd", "ab(cd", "ab[cd", "ab\\", "ab{2", ".*", "a", "[ab]c"}) {
    EXPECT_THAT(required_text(pattern), IsEmpty()) << pattern;
  }
}

TEST(RequiredText, IsInEveryTextThatThePatternMatches) {
  std::mt19937 random(7);
  const auto pick = [&](std::string_view from) {
    return from[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(random)];
  };
  int matched = 0;
  int ruled_out = 0;
  for (int round = 0; round < 30'000; ++round) {
    std::string pattern;
    for (int i = 0; i < 9; ++i) { pattern.push_back(pick("aabbccab.*?+{1}|()[]^$\\-:")); }
    regex_t compiled{};
    if (::regcomp(&compiled, pattern.c_str(), REG_EXTENDED) != 0) { continue; }
    const auto pieces = required_text(pattern);
    for (int i = 0; i < 8; ++i) {
      std::string subject;
      for (int j = 0; j < 7; ++j) { subject.push_back(pick("aabbcc.-1")); }
      const bool possible =
          std::ranges::all_of(pieces, [&](const std::string& piece) { return subject.contains(piece); });
      const bool matches = ::regexec(&compiled, subject.c_str(), 0, nullptr, 0) == 0;
      EXPECT_TRUE(possible || !matches) << pattern << " " << subject;
      matched += matches ? 1 : 0;
      ruled_out += possible ? 0 : 1;
    }
    ::regfree(&compiled);
  }
  EXPECT_GT(matched, 1000);
  EXPECT_GT(ruled_out, 1000);
}

}  // namespace
}  // namespace stagepost::maps
