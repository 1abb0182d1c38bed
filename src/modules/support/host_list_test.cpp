// The order in which hosts are tried, and how long those that failed are left alone.
#include "host_list.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using namespace std::chrono_literals;

const SteadyClock::time_point kNow{1000s};

TEST(HostList, AHostThatFailedIsLeftAloneForAWhile) {
  HostList hosts({{.name = "a"}, {.name = "b"}}, HostList::Order::as_listed, 60s);
  EXPECT_THAT(hosts.candidates(kNow), ElementsAre(0, 1));
  hosts.failed(0, "refused", kNow);
  EXPECT_THAT(hosts.candidates(kNow), ElementsAre(1));
  hosts.failed(1, "no\n answer\n", kNow + 10s);
  EXPECT_THAT(hosts.candidates(kNow + 59s), IsEmpty());
  EXPECT_EQ(hosts.reasons(), "host a: refused; host b: no answer");
  EXPECT_THAT(hosts.candidates(kNow + 60s), ElementsAre(0));
  hosts.succeeded(0);
  hosts.succeeded(1);
  EXPECT_THAT(hosts.candidates(kNow), ElementsAre(0, 1));
  EXPECT_EQ(hosts.reasons(), "");
}

TEST(HostList, TheOnlyHostIsAlwaysTried) {
  HostList hosts({{.name = "a"}}, HostList::Order::random, 60s);
  hosts.failed(0, "refused", kNow);
  EXPECT_THAT(hosts.candidates(kNow), ElementsAre(0));
}

TEST(HostList, RandomOrderUsesEachHostAndLocalOnesComeFirst) {
  HostList any({{.name = "a"}, {.name = "b"}}, HostList::Order::random, 60s);
  HostList local({{.name = "a"}, {.name = "b"}, {.name = "/s", .local = true}}, HostList::Order::local_then_random,
                 60s);
  std::set<std::size_t> first;
  for (int i = 0; i < 200; ++i) {
    const auto order = any.candidates(kNow);
    EXPECT_THAT(order, UnorderedElementsAre(0, 1));
    first.insert(order.front());
    EXPECT_EQ(local.candidates(kNow).front(), 2U);
  }
  EXPECT_THAT(first, UnorderedElementsAre(0, 1));
}

}  // namespace
}  // namespace stagepost::maps
