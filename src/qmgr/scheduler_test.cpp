#include "qmgr/scheduler.hpp"

#include <random>

#include <gtest/gtest.h>

namespace stagepost::qmgr {
namespace {

using std::chrono::seconds;

constexpr TimePoint kStart{seconds(1'000'000)};
const dsn::Status kRefused{"4.4.1", "connect to mx: Connection refused"};

Scheduler make(TransportRules rules) {
  return Scheduler(SchedulerRules{}, [rules](std::string_view) { return rules; });
}

std::vector<EntryKey> start_all(Scheduler& scheduler, TimePoint now) {
  std::vector<EntryKey> started;
  while (const auto pick = scheduler.next(now)) { started.push_back(pick->entry); }
  return started;
}

/// Starts one entry at a time and lets it end at once; the order tells who goes before whom.
std::vector<EntryKey> drain_one_by_one(Scheduler& scheduler, TimePoint now) {
  std::vector<EntryKey> order;
  while (const auto pick = scheduler.next(now)) {
    order.push_back(pick->entry);
    EXPECT_TRUE(scheduler.finished(pick->entry, Ending::reached, {}, now).empty());
  }
  return order;
}

TEST(Scheduler, StartsNoMoreThanTheInitialConcurrencyForOneDestination) {
  Scheduler scheduler = make({});
  for (EntryKey i = 1; i <= 10; ++i) { scheduler.add(i, "smtp", "d", i, kStart); }
  EXPECT_EQ(start_all(scheduler, kStart), (std::vector<EntryKey>{1, 2, 3, 4, 5}));
  EXPECT_TRUE(scheduler.finished(1, Ending::reached, {}, kStart).empty());
  EXPECT_EQ(start_all(scheduler, kStart), (std::vector<EntryKey>{6, 7}));  // the window grew
}

TEST(Scheduler, StartsNoMoreThanTheServiceHasPlacesFor) {
  Scheduler scheduler = make({.deliveries = 3});
  for (EntryKey i = 1; i <= 10; ++i) { scheduler.add(1, "smtp", "d" + std::to_string(i), i, kStart); }
  EXPECT_EQ(start_all(scheduler, kStart).size(), 3U);
  EXPECT_TRUE(scheduler.finished(1, Ending::unknown, {}, kStart).empty());
  EXPECT_EQ(start_all(scheduler, kStart).size(), 1U);
}

TEST(Scheduler, TransportsTakeTurns) {
  Scheduler scheduler = make({});
  scheduler.add(1, "a", "d", 1, kStart);
  scheduler.add(1, "a", "d", 2, kStart);
  scheduler.add(1, "b", "d", 3, kStart);
  scheduler.add(1, "b", "d", 4, kStart);
  EXPECT_EQ(start_all(scheduler, kStart), (std::vector<EntryKey>{1, 3, 2, 4}));
}

TEST(Scheduler, DestinationsOfAMessageTakeTurns) {
  Scheduler scheduler = make({});
  for (EntryKey i = 1; i <= 2; ++i) { scheduler.add(1, "smtp", "x", i, kStart); }
  for (EntryKey i = 3; i <= 4; ++i) { scheduler.add(1, "smtp", "y", i, kStart); }
  EXPECT_EQ(start_all(scheduler, kStart), (std::vector<EntryKey>{1, 3, 2, 4}));
}

TEST(Scheduler, TellsWhenMoreMailWaitsForTheDestination) {
  Scheduler scheduler = make({});
  scheduler.add(1, "smtp", "x", 1, kStart);
  scheduler.add(2, "smtp", "x", 2, kStart);
  EXPECT_TRUE(scheduler.next(kStart)->more_for_destination);
  EXPECT_TRUE(scheduler.next(kStart)->more_for_destination) << "the other one is under way";
  scheduler.add(3, "smtp", "y", 3, kStart);
  EXPECT_FALSE(scheduler.next(kStart)->more_for_destination);
}

TEST(Scheduler, ABusyDestinationDoesNotHoldUpOthers) {
  Scheduler scheduler = make({.concurrency = {.initial = 1, .limit = 1}});
  for (EntryKey i = 1; i <= 1000; ++i) { scheduler.add(i, "smtp", "slow", i, kStart); }
  scheduler.add(2000, "smtp", "fast", 2000, kStart);
  EXPECT_EQ(start_all(scheduler, kStart), (std::vector<EntryKey>{1, 2000}));
  EXPECT_TRUE(scheduler.finished(1, Ending::reached, {}, kStart).empty());
  EXPECT_EQ(start_all(scheduler, kStart), (std::vector<EntryKey>{2}));  // the order within the destination is kept
}

TEST(Scheduler, SmallMessagesSlipPastAMailingInAControlledManner) {
  Scheduler scheduler = make({.deliveries = 1});
  for (EntryKey i = 1; i <= 1000; ++i) { scheduler.add(1, "smtp", "d" + std::to_string(i), i, kStart); }
  for (EntryKey i = 1001; i <= 1100; ++i) { scheduler.add(i, "smtp", "d" + std::to_string(i), i, kStart); }
  const auto order = drain_one_by_one(scheduler, kStart);
  ASSERT_EQ(order.size(), 1100U);
  // The first single one goes at once (slot loan), all hundred before the mailing is done, and the mailing is delayed
  // by no more than 1/slot_cost and the loan.
  EXPECT_GT(order[0], 1000U);
  std::size_t last_single = 0;
  std::size_t seen_at_middle = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] > 1000) {
      last_single = i;
      if (i < 120) { ++seen_at_middle; }
    }
  }
  EXPECT_LT(last_single, 620U);
  EXPECT_LE(seen_at_middle, 120U / 5 + 4);
  EXPECT_GE(seen_at_middle, 120U / 6);
}

TEST(Scheduler, WithoutSlotCostMessagesGoInOrder) {
  Scheduler scheduler = make({.deliveries = 1, .slot_cost = 0});
  for (EntryKey i = 1; i <= 50; ++i) { scheduler.add(1, "smtp", "d" + std::to_string(i), i, kStart); }
  scheduler.add(2, "smtp", "z", 51, kStart);
  EXPECT_EQ(drain_one_by_one(scheduler, kStart).back(), 51U);
}

TEST(Scheduler, ADeadDestinationGivesBackWhatWaitsAndComesBackLater) {
  Scheduler scheduler = make({});
  for (EntryKey i = 1; i <= 20; ++i) { scheduler.add(i, "smtp", "down", i, kStart); }
  std::size_t given_back = 0;
  for (EntryKey i : start_all(scheduler, kStart)) {
    given_back += scheduler.finished(i, Ending::unreachable, kRefused, kStart).size();
  }
  EXPECT_EQ(given_back, 15U);
  EXPECT_EQ(scheduler.suspended("smtp", "down", kStart + seconds(299)), kRefused);
  EXPECT_FALSE(scheduler.suspended("smtp", "other", kStart));
  EXPECT_FALSE(scheduler.suspended("other", "down", kStart));
  EXPECT_FALSE(scheduler.suspended("smtp", "down", kStart + seconds(300)));
  EXPECT_EQ(scheduler.destinations(), 0U);
  scheduler.add(30, "smtp", "down", 30, kStart + seconds(300));
  EXPECT_EQ(start_all(scheduler, kStart + seconds(300)), (std::vector<EntryKey>{30}));
}

TEST(Scheduler, DeadDestinationsAreForgottenByTimeAndByFlush) {
  Scheduler scheduler = make({.concurrency = {.initial = 1, .failed_cohort_limit = 0.5}});
  for (EntryKey i = 1; i <= 3; ++i) {
    scheduler.add(i, "smtp", "d" + std::to_string(i), i, kStart);
    EXPECT_TRUE(scheduler.next(kStart));
    EXPECT_TRUE(scheduler.finished(i, Ending::unreachable, kRefused, kStart).empty());
  }
  EXPECT_EQ(scheduler.destinations(), 3U);
  EXPECT_FALSE(scheduler.next(kStart + seconds(301)));
  EXPECT_EQ(scheduler.destinations(), 0U);
  scheduler.add(9, "smtp", "d9", 9, kStart);
  EXPECT_TRUE(scheduler.next(kStart));
  EXPECT_TRUE(scheduler.finished(9, Ending::unreachable, kRefused, kStart).empty());
  EXPECT_TRUE(scheduler.suspended("smtp", "d9", kStart));
  scheduler.forget_dead();
  EXPECT_FALSE(scheduler.suspended("smtp", "d9", kStart));
}

TEST(Scheduler, ALostAgentSaysNothingAboutTheDestination) {
  Scheduler scheduler = make({});
  for (EntryKey i = 1; i <= 100; ++i) {
    scheduler.add(i, "smtp", "d", i, kStart);
    EXPECT_TRUE(scheduler.next(kStart));
    EXPECT_TRUE(scheduler.finished(i, Ending::unknown, {}, kStart).empty());
  }
  EXPECT_FALSE(scheduler.suspended("smtp", "d", kStart));
}

TEST(Scheduler, ADeadTransportGivesBackEverythingThatWaits) {
  Scheduler scheduler = make({});
  const dsn::Status unavailable{"4.3.0", "mail transport unavailable"};
  for (EntryKey i = 1; i <= 10; ++i) { scheduler.add(i, "foo", "d" + std::to_string(i % 3), i, kStart); }
  scheduler.add(11, "smtp", "d", 11, kStart);
  const auto pick = scheduler.next(kStart);
  ASSERT_TRUE(pick);
  EXPECT_EQ(scheduler.suspend_transport("foo", unavailable, kStart).size(), 9U);
  EXPECT_TRUE(scheduler.finished(pick->entry, Ending::unknown, {}, kStart).empty());
  EXPECT_EQ(scheduler.suspended("foo", "anything", kStart + seconds(59)), unavailable);
  EXPECT_FALSE(scheduler.suspended("foo", "anything", kStart + seconds(60)));
  EXPECT_EQ(start_all(scheduler, kStart), (std::vector<EntryKey>{11}));
}

TEST(Scheduler, RateDelayKeepsDeliveriesOfADestinationApart) {
  Scheduler scheduler = make({.destination_rate_delay = seconds(10)});
  for (EntryKey i = 1; i <= 3; ++i) { scheduler.add(i, "smtp", "d", i, kStart); }
  EXPECT_EQ(start_all(scheduler, kStart), (std::vector<EntryKey>{1}));
  EXPECT_TRUE(scheduler.finished(1, Ending::reached, {}, kStart + seconds(1)).empty());
  EXPECT_FALSE(scheduler.next(kStart + seconds(10)));
  EXPECT_EQ(scheduler.next_event(), kStart + seconds(11));
  EXPECT_EQ(start_all(scheduler, kStart + seconds(11)), (std::vector<EntryKey>{2}));
}

TEST(Scheduler, TransportRateDelayKeepsAllDeliveriesApart) {
  Scheduler scheduler = make({.transport_rate_delay = seconds(20)});
  for (EntryKey i = 1; i <= 3; ++i) { scheduler.add(i, "smtp", "d" + std::to_string(i), i, kStart); }
  EXPECT_EQ(start_all(scheduler, kStart).size(), 1U);
  EXPECT_EQ(scheduler.next_event(), kStart + seconds(20));
  EXPECT_EQ(start_all(scheduler, kStart + seconds(20)).size(), 1U);
}

/// A world of messages, destinations that go up and down, and agents that are lost, played from a seed.
class Simulation {
 public:
  explicit Simulation(unsigned seed) : random_(seed) {
    for (const char* name : {"smtp", "relay", "local"}) {
      TransportRules rules;
      rules.deliveries = 1 + number(20);
      rules.concurrency.initial = 1 + number(5);
      rules.concurrency.limit = 1 + number(10);
      rules.concurrency.failed_cohort_limit = static_cast<double>(number(3));
      rules.slot_cost = number(8);
      rules.minimum_slots = number(5);
      if (number(3) == 0) { rules.destination_rate_delay = seconds(1 + number(5)); }
      if (number(4) == 0) { rules.transport_rate_delay = seconds(1); }
      rules_.emplace(name, rules);
    }
  }

  void run() {
    SchedulerRules limits;
    limits.dead_limit = 5;
    Scheduler scheduler(limits, [this](std::string_view name) { return rules_.at(std::string(name)); });
    constexpr MessageKey kMessages = 150;
    MessageKey next_message = 1;
    TimePoint now = kStart;
    for (int step = 0; step < 200'000; ++step) {
      if (next_message <= kMessages && number(4) == 0) { add_message(scheduler, next_message++, now); }
      while (const auto pick = scheduler.next(now)) { started(pick->entry, now); }
      EXPECT_EQ(scheduler.running(), ends_.size());
      if (number(2000) == 0) { scheduler.forget_dead(); }
      if (number(1000) == 0) { gone(scheduler.suspend_transport("relay", kRefused, now)); }
      // On to what happens next.
      std::optional<TimePoint> at = scheduler.next_event();
      if (!ends_.empty() && (!at || ends_.begin()->first < *at)) { at = ends_.begin()->first; }
      if (!at) {
        EXPECT_EQ(scheduler.waiting(), 0U) << "something waits and nothing will ever start it";
        if (next_message > kMessages) { break; }
        now += seconds(1);
        continue;
      }
      EXPECT_GE(*at, now) << "an event in the past would spin the caller";
      now = std::max(now, *at);
      if (!ends_.empty() && ends_.begin()->first <= now) { end_one(scheduler, now); }
    }
    EXPECT_TRUE(open_.empty()) << open_.size() << " entries never ended";
    EXPECT_EQ(scheduler.waiting(), 0U);
    EXPECT_EQ(scheduler.running(), 0U);
    EXPECT_EQ(scheduler.jobs(), 0U);
    scheduler.forget_dead();
    EXPECT_FALSE(scheduler.next(now + seconds(100)));
    EXPECT_EQ(scheduler.destinations(), 0U);
  }

 private:
  struct Open {
    std::string transport;
    std::string destination;
  };
  std::size_t number(std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_); }

  void add_message(Scheduler& scheduler, MessageKey message, TimePoint now) {
    static constexpr std::array<const char*, 3> kTransports{"smtp", "relay", "local"};
    const std::size_t entries = number(5) == 0 ? 1 + number(200) : 1 + number(3);
    for (std::size_t i = 0; i < entries; ++i) {
      const std::string transport = kTransports[number(3)];
      const std::string destination = "d" + std::to_string(number(15));
      if (scheduler.suspended(transport, destination, now)) { continue; }
      const EntryKey entry = ++last_entry_;
      open_.emplace(entry, Open{transport, destination});
      scheduler.add(message, transport, destination, entry, now);
    }
  }

  void started(EntryKey entry, TimePoint now) {
    ASSERT_TRUE(open_.contains(entry)) << "started twice, or after it was given back";
    const Open& open = open_.at(entry);
    const TransportRules& rules = rules_.at(open.transport);
    EXPECT_LE(++running_[open.transport], rules.deliveries);
    EXPECT_LE(++running_[open.transport + "/" + open.destination], rules.concurrency.limit);
    ends_.emplace(now + std::chrono::milliseconds(1 + number(3000)), entry);
  }

  void end_one(Scheduler& scheduler, TimePoint now) {
    const EntryKey entry = ends_.begin()->second;
    ends_.erase(ends_.begin());
    const Open open = open_.at(entry);
    open_.erase(entry);
    --running_[open.transport];
    --running_[open.transport + "/" + open.destination];
    const bool down =
        (static_cast<std::size_t>(now.time_since_epoch() / seconds(60)) + open.destination.size()) % 4 == 0;
    const Ending ending = number(20) == 0 ? Ending::unknown : down ? Ending::unreachable : Ending::reached;
    gone(scheduler.finished(entry, ending, kRefused, now));
  }

  void gone(const std::vector<EntryKey>& entries) {
    for (const EntryKey entry : entries) { EXPECT_EQ(open_.erase(entry), 1U); }
  }

  std::mt19937 random_;
  std::map<std::string, TransportRules> rules_;
  std::map<EntryKey, Open> open_;
  std::map<std::string, std::size_t> running_;
  std::multimap<TimePoint, EntryKey> ends_;
  EntryKey last_entry_ = 0;
};

TEST(SchedulerSimulation, LimitsHoldAndEveryEntryEnds) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Simulation(seed).run();
    if (HasFailure()) { break; }
  }
}

}  // namespace
}  // namespace stagepost::qmgr
