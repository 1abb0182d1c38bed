#include "services/anvil/counters.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::anvil {
namespace {

using std::chrono::seconds;

const Counters::Time kStart{std::chrono::hours(1)};

TEST(Counters, CountsPerServiceAndClientWithinTheUnit) {
  Counters counters(seconds(60));
  static_cast<void>(counters.count(Event::connect, "smtp", "a", 1, kStart));
  EXPECT_EQ(counters.count(Event::connect, "smtp", "a", 2, kStart).connections, 2U);
  EXPECT_EQ(counters.count(Event::connect, "smtp", "b", 1, kStart).connections, 1U);
  EXPECT_EQ(counters.count(Event::connect, "submission", "a", 1, kStart).connection_rate, 1U);
  EXPECT_EQ(counters.count(Event::disconnect, "smtp", "a", 1, kStart).connections, 1U);
  EXPECT_EQ(counters.count(Event::message, "smtp", "a", 1, kStart).message_rate, 1U);
  const auto later = counters.count(Event::connect, "smtp", "a", 1, kStart + seconds(60));
  EXPECT_EQ(later.connection_rate, 1U);
  EXPECT_EQ(later.connections, 2U);
  EXPECT_EQ(later.message_rate, 0U);
}

TEST(Counters, LookUpAndStrayDisconnectMakeNoEntry) {
  Counters counters(seconds(60));
  EXPECT_EQ(counters.count(Event::look_up, "smtp", "a", 1, kStart).connections, 0U);
  EXPECT_EQ(counters.count(Event::disconnect, "smtp", "a", 1, kStart).connections, 0U);
  EXPECT_EQ(counters.size(), 0U);
}

TEST(Counters, ADeadProcessGivesItsConnectionsBack) {
  Counters counters(seconds(60));
  static_cast<void>(counters.count(Event::connect, "smtp", "a", 1, kStart));
  static_cast<void>(counters.count(Event::connect, "smtp", "a", 2, kStart));
  counters.forget_process(1);
  EXPECT_EQ(counters.count(Event::look_up, "smtp", "a", 3, kStart).connections, 1U);
  EXPECT_THAT(counters.processes(), testing::ElementsAre(2));
}

TEST(Counters, ExpiryKeepsOpenConnections) {
  Counters counters(seconds(60));
  static_cast<void>(counters.count(Event::connect, "smtp", "a", 1, kStart));
  static_cast<void>(counters.count(Event::message, "smtp", "b", 1, kStart));
  counters.expire(kStart + seconds(60));
  EXPECT_EQ(counters.size(), 1U);
}

TEST(Counters, StatisticsHavePostfixsShapeAndStartAfresh) {
  Counters counters(seconds(60));
  static_cast<void>(counters.count(Event::connect, "smtp", "127.0.0.1", 1, kStart));
  EXPECT_THAT(counters.take_statistics(),
              testing::ElementsAre(
                  testing::MatchesRegex("statistics: max connection rate 1/60s for \\(smtp:127.0.0.1\\) at .*"),
                  testing::MatchesRegex("statistics: max connection count 1 for \\(smtp:127.0.0.1\\) at .*"),
                  testing::MatchesRegex("statistics: max cache size 1 at .*")));
  EXPECT_TRUE(counters.take_statistics().empty());
}

}  // namespace
}  // namespace stagepost::anvil
