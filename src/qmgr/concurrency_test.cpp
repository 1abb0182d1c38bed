#include "qmgr/concurrency.hpp"

#include <gtest/gtest.h>

namespace stagepost::qmgr {
namespace {

TEST(Feedback, ReadsEachDocumentedForm) {
  EXPECT_DOUBLE_EQ(Feedback::parse("1")->at(7), 1);
  EXPECT_DOUBLE_EQ(Feedback::parse("1/4")->at(7), 0.25);
  EXPECT_DOUBLE_EQ(Feedback::parse("1 / concurrency")->at(4), 0.25);
  EXPECT_DOUBLE_EQ(Feedback::parse("0.5/sqrt_concurrency")->at(4), 0.25);
  EXPECT_DOUBLE_EQ(Feedback::parse("0")->at(4), 0);
}

TEST(Feedback, RefusesWhatIsNotBetweenZeroAndOne) {
  for (const char* text : {"", "2", "-1", "x", "1/", "1/0", "1/x", "5/4", "nan", "1/1/1", "inf"}) {
    EXPECT_FALSE(Feedback::parse(text)) << text;
  }
}

TEST(ConcurrencyWindow, StartsAtTheInitialValueWithinTheLimit) {
  const ConcurrencyRules rules{.initial = 5, .limit = 2};
  EXPECT_EQ(ConcurrencyWindow(rules).size(), 2U);
  const ConcurrencyRules unlimited{.initial = 5, .limit = 0};
  EXPECT_EQ(ConcurrencyWindow(unlimited).size(), 5U);
}

TEST(ConcurrencyWindow, GrowsToTheLimitAndNotBeyond) {
  const ConcurrencyRules rules;
  ConcurrencyWindow window(rules);
  for (int i = 0; i < 100; ++i) { window.succeeded(window.size()); }
  EXPECT_EQ(window.size(), 20U);
}

TEST(ConcurrencyWindow, DoesNotGrowWhenItIsHardlyUsed) {
  const ConcurrencyRules rules;
  ConcurrencyWindow window(rules);
  for (int i = 0; i < 100; ++i) { window.succeeded(1); }
  EXPECT_EQ(window.size(), 6U);  // busy 1 + initial 5
}

TEST(ConcurrencyWindow, GrowsByOneForEachCohortWithFractionalFeedback) {
  ConcurrencyRules rules;
  rules.positive = *Feedback::parse("1/concurrency");
  ConcurrencyWindow window(rules);
  for (int i = 0; i < 4; ++i) { window.succeeded(5); }
  EXPECT_EQ(window.size(), 5U);
  window.succeeded(5);
  EXPECT_EQ(window.size(), 6U);
}

TEST(ConcurrencyWindow, DiesAfterTheFourthFailureWithTheDefaults) {
  const ConcurrencyRules rules;  // 1/5 + 1/4 + 1/3 + 1/2 passes one cohort; the installed Postfix does the same
  ConcurrencyWindow window(rules);
  for (int i = 0; i < 3; ++i) { window.failed(); }
  EXPECT_FALSE(window.dead());
  EXPECT_EQ(window.size(), 2U);
  window.failed();
  EXPECT_TRUE(window.dead());
}

TEST(ConcurrencyWindow, OneSuccessForgetsEarlierFailures) {
  const ConcurrencyRules rules;
  ConcurrencyWindow window(rules);
  for (int i = 0; i < 3; ++i) { window.failed(); }
  window.succeeded(2);
  window.failed();
  EXPECT_FALSE(window.dead());
}

TEST(ConcurrencyWindow, NeverDiesWithoutCohortLimitButKeepsOne) {
  ConcurrencyRules rules;
  rules.failed_cohort_limit = 0;
  ConcurrencyWindow window(rules);
  for (int i = 0; i < 1000; ++i) { window.failed(); }
  EXPECT_EQ(window.size(), 1U);
}

TEST(ConcurrencyWindow, StepsDownAtTheBeginningOfARunOfFailures) {
  ConcurrencyRules rules;
  rules.failed_cohort_limit = 0;
  rules.negative = *Feedback::parse("1/4");
  ConcurrencyWindow window(rules);
  window.failed();
  EXPECT_EQ(window.size(), 4U);
  for (int i = 0; i < 3; ++i) { window.failed(); }
  EXPECT_EQ(window.size(), 4U);
  window.failed();
  EXPECT_EQ(window.size(), 3U);
}

}  // namespace
}  // namespace stagepost::qmgr
