#include "qmgr/backoff.hpp"

#include <gtest/gtest.h>

namespace stagepost::qmgr {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

TEST(Backoff, WaitsAsLongAsTheMessageHasWaitedWithinTheLimits) {
  const RetryRules rules;
  EXPECT_EQ(retry_delay(seconds(0), rules), seconds(300));
  EXPECT_EQ(retry_delay(seconds(300), rules), seconds(300));
  EXPECT_EQ(retry_delay(seconds(1053), rules), seconds(1053));
  EXPECT_EQ(retry_delay(seconds(100053), rules), seconds(4000));
}

TEST(Backoff, SurvivesClocksThatRunBackwardsAndCrossedLimits) {
  RetryRules rules;
  EXPECT_EQ(retry_delay(seconds(-5000), rules), seconds(300));
  rules.maximal_backoff_time = seconds(10);
  EXPECT_EQ(retry_delay(seconds(5000), rules), seconds(300));
}

TEST(Backoff, LifetimeDependsOnTheSender) {
  RetryRules rules;
  rules.bounce_queue_lifetime = hours(1);
  EXPECT_FALSE(expired(hours(2), SenderKind::mailbox, rules));
  EXPECT_TRUE(expired(hours(120), SenderKind::mailbox, rules));
  EXPECT_FALSE(expired(seconds(3599), SenderKind::null_sender, rules));
  EXPECT_TRUE(expired(seconds(3600), SenderKind::null_sender, rules));
  rules.maximal_queue_lifetime = seconds(0);
  EXPECT_TRUE(expired(seconds(0), SenderKind::mailbox, rules));
}

}  // namespace
}  // namespace stagepost::qmgr
