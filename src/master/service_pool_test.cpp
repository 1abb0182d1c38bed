// The concurrency contract as a table of events, and throttling.
#include "master/service_pool.hpp"

#include <gtest/gtest.h>

#include "master/throttle.hpp"

namespace stagepost::master {
namespace {

using ipc::Kind;
using ipc::Verb;
using namespace std::chrono_literals;

void greet(ServicePool& pool, pid_t pid, Kind kind, std::uint32_t flags = 0) {
  EXPECT_TRUE(pool.child_said(pid, ipc::make_hello(kind, flags)));
}
void say(ServicePool& pool, pid_t pid, Verb verb, std::uint32_t value = 0) {
  EXPECT_TRUE(pool.child_said(pid, {.verb = verb, .value = value}));
}
std::uint32_t start(ServicePool& pool, pid_t pid) {
  const std::uint32_t quota = pool.next_quota();
  EXPECT_GT(quota, 0U);
  pool.child_started(pid, quota);
  return quota;
}

TEST(ServicePool, PlansEnoughProcessesForTheCoresAndForTheSessionLimit) {
  struct Case {
    PoolLimits limits;
    std::uint32_t processes;
    std::uint32_t first_quota;
  };
  for (const Case& c : {Case{{.maxproc = 100, .process_session_limit = 1000, .cores = 4}, 4, 25},
                        Case{{.maxproc = 2, .process_session_limit = 1000, .cores = 8}, 2, 1},
                        Case{{.maxproc = 1, .process_session_limit = 1000, .cores = 8}, 1, 1},
                        Case{{.maxproc = 100, .process_session_limit = 1, .cores = 4}, 100, 1},
                        Case{{.maxproc = 5000, .process_session_limit = 1000, .cores = 2}, 5, 1000},
                        Case{{.maxproc = 0, .process_session_limit = 300, .cores = 2}, 2, 300}}) {
    const ServicePool pool(c.limits);
    EXPECT_EQ(pool.planned_processes(), c.processes) << c.limits.maxproc;
    EXPECT_EQ(pool.next_quota(), c.first_quota) << c.limits.maxproc;
  }
}

TEST(ServicePool, QuotasAddUpToMaxprocAndNoFurther) {
  ServicePool pool({.maxproc = 5, .process_session_limit = 2, .cores = 1});
  EXPECT_TRUE(pool.should_listen());
  std::uint32_t total = 0;
  for (pid_t pid = 1; pid <= 3; ++pid) {
    total += start(pool, pid);
    EXPECT_FALSE(pool.should_listen()) << "a starting child will take the next client";
    greet(pool, pid, Kind::pooled);
    say(pool, pid, Verb::full);
  }
  EXPECT_EQ(total, 5U);
  EXPECT_EQ(pool.next_quota(), 0U);
  EXPECT_FALSE(pool.should_listen());
  EXPECT_TRUE(pool.at_limit());
  say(pool, 2, Verb::available);
  EXPECT_FALSE(pool.at_limit());
  pool.child_exited(2);
  EXPECT_TRUE(pool.should_listen());
  EXPECT_EQ(pool.next_quota(), 2U);
}

TEST(ServicePool, AnIsolatedProgramGetsOneProcessPerClient) {
  ServicePool pool({.maxproc = 3, .process_session_limit = 1000, .cores = 2});
  EXPECT_EQ(start(pool, 1), 2U) << "its kind is not known yet";
  greet(pool, 1, Kind::isolated);
  say(pool, 1, Verb::full, 1);
  EXPECT_TRUE(pool.should_listen());
  for (pid_t pid = 2; pid <= 3; ++pid) {
    EXPECT_EQ(start(pool, pid), 1U);
    greet(pool, pid, Kind::isolated);
    say(pool, pid, Verb::full, 1);
  }
  EXPECT_EQ(pool.next_quota(), 0U);
  EXPECT_TRUE(pool.at_limit());
}

TEST(ServicePool, ASingleProgramIsStartedOnceAndItsSuccessorWaitsForItsEnd) {
  ServicePool pool({.maxproc = 1, .process_session_limit = 1000, .cores = 4});
  start(pool, 1);
  greet(pool, 1, Kind::single);
  EXPECT_FALSE(pool.should_listen());
  EXPECT_EQ(pool.next_quota(), 0U);
  EXPECT_FALSE(pool.at_limit());
  pool.child_dismissed(1);
  EXPECT_FALSE(pool.should_listen());
  say(pool, 1, Verb::retiring, 4);
  EXPECT_FALSE(pool.should_listen()) << "two queue managers at once would be a disaster";
  pool.child_exited(1);
  EXPECT_TRUE(pool.should_listen());
}

TEST(ServicePool, ASingleProgramThatAllowsItMayBeSucceededWhileItDrains) {
  ServicePool pool({.maxproc = 1, .process_session_limit = 1000, .cores = 4});
  start(pool, 1);
  greet(pool, 1, Kind::single, ipc::kHelloOverlap);
  pool.child_dismissed(1);
  EXPECT_FALSE(pool.should_listen()) << "it has not heard of it yet";
  say(pool, 1, Verb::retiring, 4);
  EXPECT_TRUE(pool.should_listen());
}

TEST(ServicePool, SessionsOfDrainingProcessesStillCount) {
  ServicePool pool({.maxproc = 2, .process_session_limit = 1000, .cores = 1});
  EXPECT_EQ(start(pool, 1), 2U);
  greet(pool, 1, Kind::pooled);
  pool.child_dismissed(1);
  EXPECT_EQ(pool.next_quota(), 0U) << "until it answers it may still accept";
  say(pool, 1, Verb::retiring, 1);
  EXPECT_EQ(start(pool, 2), 1U);
  greet(pool, 2, Kind::pooled);
  EXPECT_TRUE(pool.take_raised_quotas().empty());
  say(pool, 1, Verb::retiring, 0);
  const auto raised = pool.take_raised_quotas();
  ASSERT_EQ(raised.size(), 1U);
  EXPECT_EQ(raised[0], (std::pair<pid_t, std::uint32_t>{2, 2}));
  EXPECT_TRUE(pool.take_raised_quotas().empty());
}

TEST(ServicePool, AnotherProcessStartsWhenAllAreBusyAndCoresAreIdle) {
  ServicePool pool({.maxproc = 100, .process_session_limit = 1000, .cores = 2});
  start(pool, 1);
  greet(pool, 1, Kind::pooled);
  EXPECT_FALSE(pool.wants_another());
  say(pool, 1, Verb::busy);
  EXPECT_TRUE(pool.wants_another());
  start(pool, 2);
  EXPECT_FALSE(pool.wants_another());
  greet(pool, 2, Kind::pooled);
  say(pool, 2, Verb::busy);
  EXPECT_FALSE(pool.wants_another()) << "as many as planned";
}

TEST(ServicePool, WithoutALimitMoreProcessesStartWhenAllAreFull) {
  ServicePool pool({.maxproc = 0, .process_session_limit = 2, .cores = 1});
  for (pid_t pid = 1; pid <= 20; ++pid) {
    ASSERT_TRUE(pool.should_listen());
    EXPECT_EQ(start(pool, pid), 2U);
    greet(pool, pid, Kind::pooled);
    say(pool, pid, Verb::full);
  }
  EXPECT_FALSE(pool.at_limit());
}

TEST(ServicePool, MessagesOutOfTurnAreRefused) {
  ServicePool pool({});
  EXPECT_FALSE(pool.child_said(1, ipc::make_hello(Kind::pooled, 0)));
  start(pool, 1);
  EXPECT_FALSE(pool.child_said(1, {.verb = Verb::available}));
  greet(pool, 1, Kind::pooled);
  EXPECT_FALSE(pool.child_said(1, ipc::make_hello(Kind::isolated, 0)));
}

TEST(ServicePool, ALiarCannotClaimMoreSessionsThanItsQuota) {
  ServicePool pool({.maxproc = 10, .process_session_limit = 5, .cores = 2});
  start(pool, 1);
  greet(pool, 1, Kind::pooled);
  say(pool, 1, Verb::retiring, 4000000000U);
  EXPECT_EQ(pool.next_quota(), 5U);
}

TEST(Throttle, AProgramThatNeverGreetsIsThrottledAtOnce) {
  const SteadyClock::time_point now{};
  for (const Death& death : {Death{.exit_status = 1}, Death{.signal = 9}, Death{.exit_status = 0}}) {
    Throttle throttle(60s);
    EXPECT_TRUE(throttle.child_died(death, now));
    EXPECT_EQ(throttle.until(), now + 60s);
    throttle.lift();
    EXPECT_FALSE(throttle.active());
  }
}

TEST(Throttle, OneCrashIsForgivenACrashLoopIsNot) {
  Throttle throttle(60s);
  const Death crash{.signal = 11, .greeted = true};
  SteadyClock::time_point now{};
  EXPECT_FALSE(throttle.child_died(crash, now));
  EXPECT_FALSE(throttle.child_died(crash, now + 1s));
  EXPECT_TRUE(throttle.child_died(crash, now + 2s));
}

TEST(Throttle, CrashesLongAgoDoNotCount) {
  Throttle throttle(60s);
  const Death crash{.signal = 11, .greeted = true};
  SteadyClock::time_point now{};
  EXPECT_FALSE(throttle.child_died(crash, now));
  EXPECT_FALSE(throttle.child_died(crash, now + 1s));
  EXPECT_FALSE(throttle.child_died(crash, now + 120s));
}

TEST(Throttle, CleanExitsAndUsefulProcessesNeverThrottle) {
  Throttle throttle(60s);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(throttle.child_died({.greeted = true}, SteadyClock::time_point{}));
    EXPECT_FALSE(throttle.child_died({.signal = 9, .greeted = true, .sessions_done = 1}, SteadyClock::time_point{}));
  }
}

}  // namespace
}  // namespace stagepost::master
