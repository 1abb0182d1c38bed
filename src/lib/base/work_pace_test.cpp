#include "base/work_pace.hpp"

#include <sched.h>
#include <thread>

#include <gtest/gtest.h>

namespace stagepost::work_pace {
namespace {

using std::chrono::milliseconds;

class MeterTest : public testing::Test {
 protected:
  /// Messages at an even rate.
  bool handle(double rate, milliseconds duration) {
    constexpr unsigned kStep = 10;
    const auto end = now_ + duration;
    while (now_ < end) {
      now_ += std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(kStep / kEvents / rate));
      meter_.count(kStep, now_);
    }
    return meter_.busy();
  }

  static constexpr double kEvents = 20;
  SteadyClock::time_point now_{};
  Meter meter_{now_, kEvents};
};

TEST_F(MeterTest, BeginsCalm) { EXPECT_FALSE(meter_.busy()); }

TEST_F(MeterTest, LittleToDoStaysCalm) { EXPECT_FALSE(handle(0.95 * Meter::kBusy, milliseconds(2000))); }

TEST_F(MeterTest, MuchToDoIsNoticedWithinTwoWindows) { EXPECT_TRUE(handle(1.2 * Meter::kBusy, milliseconds(210))); }

TEST_F(MeterTest, BetweenTheLimitsNothingChanges) {
  const double between = (Meter::kBusy + Meter::kCalm) / 2;
  EXPECT_FALSE(handle(between, milliseconds(500)));
  EXPECT_TRUE(handle(1.2 * Meter::kBusy, milliseconds(500)));
  EXPECT_TRUE(handle(between, milliseconds(500)));
  EXPECT_FALSE(handle(0.8 * Meter::kCalm, milliseconds(500)));
}

TEST_F(MeterTest, OneMessageAmongNothingIsNotMuch) {
  EXPECT_FALSE(meter_.count(100, now_ += milliseconds(1)));
  EXPECT_FALSE(meter_.count(100, now_ += milliseconds(5000)));
}

TEST_F(MeterTest, ATimeOfNothingCalms) {
  ASSERT_TRUE(handle(2 * Meter::kBusy, milliseconds(500)));
  EXPECT_FALSE(meter_.count(32, now_ += milliseconds(1000)));
}

TEST(WorkPace, ThreadsFollowTheLoop) {
  if (::sched_getscheduler(0) != SCHED_OTHER) { GTEST_SKIP() << "tests run with another policy"; }
  event_handled();
  join_in();
  stay_behind();
  EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER) << "a program that is no daemon keeps its policy";
  // A process of its own: what follow_load() begins does not end.
  EXPECT_EXIT(
      {
        follow_load();
        stay_behind();
        join_in();
        bool right = ::sched_getscheduler(0) == SCHED_BATCH;
        std::thread loop([&] {
          const auto other_has = [](int policy) {
            int found = -1;
            std::thread([&] {
              join_in();
              found = ::sched_getscheduler(0);
            }).join();
            return found == policy;
          };
          right = right && other_has(SCHED_OTHER);
          const auto end = SteadyClock::now() + 3 * Meter::kWindow;
          while (SteadyClock::now() < end) { event_handled(); }
          right = right && ::sched_getscheduler(0) == SCHED_BATCH && other_has(SCHED_BATCH);
          // The first of these still counts the end of what was.
          for (int pause = 0; pause < 2; ++pause) {
            std::this_thread::sleep_for(1.1 * Meter::kWindow);
            for (int i = 0; i < 64; ++i) { event_handled(); }
          }
          right = right && ::sched_getscheduler(0) == SCHED_OTHER && other_has(SCHED_OTHER);
        });
        loop.join();
        std::_Exit(right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace stagepost::work_pace
