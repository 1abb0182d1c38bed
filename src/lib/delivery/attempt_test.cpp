#include "delivery/attempt.hpp"

#include <gtest/gtest.h>

#include "log/log.hpp"

namespace stagepost::delivery {
namespace {

using std::chrono::milliseconds;

Timing::Clock::time_point at(int ms) { return Timing::Clock::time_point(milliseconds(1'700'000'000'000 + ms)); }

TEST(Delays, TwoSignificantDigitsAndAPartForEachStage) {
  const Timing timing{at(0), at(50), at(60), at(160)};
  EXPECT_EQ(format_delays(timing, at(1234), 2), "delay=1.2, delays=0.05/0.01/0.1/1.1");
  EXPECT_EQ(format_delays(timing, at(12'345), 2), "delay=12, delays=0.05/0.01/0.1/12");
  EXPECT_EQ(format_delays(timing, at(1234), 0), "delay=1, delays=0/0/0/1");
}

TEST(Delays, NoConnectionCountsAsTransmissionAndClocksNeverRunBackwards) {
  EXPECT_EQ(format_delays({at(0), at(50), at(60), {}}, at(160), 2), "delay=0.16, delays=0.05/0.01/0/0.1");
  EXPECT_EQ(format_delays({at(100), at(50), at(60), {}}, at(80), 2), "delay=0, delays=0/0.01/0/0.02");
}

TEST(LogOutcome, HasTheFieldsThatToolsParse) {
  std::string line;
  log::capture([&](log::Level, std::string_view text) { line = text; });
  Outcome outcome{.status = {"2.0.0", "250 2.0.0 Ok: queued as X"}, .relay = "mx.example[192.0.2.1]:25"};
  const auto now = Timing::Clock::now();
  const Timing timing{now, now, now, now};
  log_outcome("4F9D195432C", {.address = "a@example.com", .original = "b@example.com"}, outcome, "sent", timing, 2);
  EXPECT_EQ(line,
            "4F9D195432C: to=<a@example.com>, orig_to=<b@example.com>, relay=mx.example[192.0.2.1]:25, delay=0, "
            "delays=0/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as X)");
  log_outcome("4F9D195432C", {.address = "a@example.com", .original = "a@example.com"}, outcome, "sent", timing, 2);
  EXPECT_EQ(line.find("orig_to"), std::string::npos);
  log::capture({});
}

}  // namespace
}  // namespace stagepost::delivery
