// Long options that all commands share, and suggestions for mistyped names.
#include "base/command_help.hpp"

#include <array>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/nearest_name.hpp"

namespace stagepost {
namespace {

constexpr CommandHelp kHelp{.name = "postx", .version = "1.2.3", .text = "postx - does it\n"};

std::optional<int> answer(std::string word, int usage_status = 1) {
  std::string name = "postx";
  std::array<char*, 3> argv{name.data(), word.data(), nullptr};
  return answer_long_option(2, argv.data(), kHelp, {"--explain"}, usage_status);
}

TEST(LongOptions, OthersAreLeftToTheProgram) {
  for (const char* word : {"", "-", "--", "-h", "help", "--explain", "--explain=x"}) {
    EXPECT_EQ(answer(word), std::nullopt) << word;
  }
  std::string name = "postx";
  std::array<char*, 2> argv{name.data(), nullptr};
  EXPECT_EQ(answer_long_option(1, argv.data(), kHelp), std::nullopt);
}

TEST(LongOptions, HelpAndVersionGoToStandardOutput) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(answer("--help"), 0);
  EXPECT_EQ(answer("--version"), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "postx - does it\npostx (Stagepost) 1.2.3\n");
}

TEST(LongOptions, AMistypedOneIsAnErrorOfOneLine) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(answer("--hlep", 64), 64);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "postx: fatal: unknown option --hlep (did you mean --help?); \"postx --help\" lists the options\n");
  testing::internal::CaptureStderr();
  EXPECT_EQ(answer("--exlain"), 1);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("did you mean --explain?"));
  testing::internal::CaptureStderr();
  EXPECT_EQ(answer("--colour\n"), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "postx: fatal: unknown option --colour?; \"postx --help\" lists the options\n");
}

TEST(NearestName, IsTheClosestWithinTwoLetters) {
  const std::array<std::string_view, 4> names{"start", "stop", "status", "relay_domains"};
  EXPECT_EQ(nearest_name("strat", names), "start");
  EXPECT_EQ(nearest_name("statu", names), "status");
  EXPECT_EQ(nearest_name("relay_domain", names), "relay_domains");
  EXPECT_EQ(nearest_name("stop", names), "stop");
  EXPECT_EQ(nearest_name("mynetworks", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("x", names), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'a'), names), "");
}

}  // namespace
}  // namespace stagepost
