// Quotas, retirement and the edges reported to master.
#include "daemon/session_gate.hpp"

#include <gtest/gtest.h>

namespace stagepost::daemon {
namespace {

using ipc::Kind;
using ipc::StatusMessage;
using ipc::Verb;

std::vector<StatusMessage> messages(std::initializer_list<StatusMessage> list) { return list; }

TEST(SessionGate, ReportsFullAndAvailableOnlyAtTheEdges) {
  SessionGate gate(Kind::pooled, 2, 0);
  gate.session_began();
  EXPECT_TRUE(gate.take_messages().empty());
  EXPECT_TRUE(gate.open());
  gate.session_began();
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::full, .value = 2}}));
  EXPECT_FALSE(gate.open());
  gate.session_ended();
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::available, .value = 1}}));
  gate.session_ended();
  EXPECT_TRUE(gate.take_messages().empty());
}

TEST(SessionGate, AnIsolatedProcessTakesOneWhateverItsQuota) {
  SessionGate gate(Kind::isolated, 50, 0);
  gate.session_began();
  EXPECT_FALSE(gate.open());
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::full, .value = 1}}));
}

TEST(SessionGate, ASingleProcessIsNeverFull) {
  SessionGate gate(Kind::single, 1, 0);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(gate.open());
    gate.session_began();
  }
  EXPECT_TRUE(gate.take_messages().empty());
}

TEST(SessionGate, MaxUseRetiresAndCountsDownItsSessions) {
  SessionGate gate(Kind::pooled, 10, 2);
  gate.session_began();
  EXPECT_FALSE(gate.retiring());
  gate.session_began();
  EXPECT_TRUE(gate.retiring());
  EXPECT_FALSE(gate.open());
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::retiring, .value = 2}}));
  gate.session_ended();
  gate.session_ended();
  EXPECT_EQ(gate.take_messages(),
            messages({{.verb = Verb::retiring, .value = 1}, {.verb = Verb::retiring, .value = 0}}));
}

TEST(SessionGate, ALowerQuotaClosesTheGateUntilSessionsEnd) {
  SessionGate gate(Kind::pooled, 3, 0);
  gate.session_began();
  gate.session_began();
  gate.set_quota(1);
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::full, .value = 2}}));
  gate.session_ended();
  EXPECT_FALSE(gate.open());
  EXPECT_TRUE(gate.take_messages().empty());
  gate.set_quota(2);
  EXPECT_TRUE(gate.open());
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::available, .value = 1}}));
}

TEST(SessionGate, BusyAndCalmAreEdgesToo) {
  SessionGate gate(Kind::pooled, ipc::kUnlimited, 0);
  for (std::uint32_t i = 0; i < ipc::kBusySessions; ++i) { gate.session_began(); }
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::busy, .value = ipc::kBusySessions}}));
  gate.session_ended();
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::calm, .value = ipc::kBusySessions - 1}}));
}

TEST(SessionGate, RetiringTwiceIsToldOnce) {
  SessionGate gate(Kind::pooled, 2, 0);
  gate.retire();
  gate.retire();
  gate.set_quota(5);
  EXPECT_EQ(gate.take_messages(), messages({{.verb = Verb::retiring, .value = 0}}));
}

}  // namespace
}  // namespace stagepost::daemon
