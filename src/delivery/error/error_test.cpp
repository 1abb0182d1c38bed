#include "delivery/error/error.hpp"

#include <gtest/gtest.h>

namespace stagepost::error {
namespace {

using delivery::Kind;

TEST(Error, CodeAndKindFromTheNexthop) {
  EXPECT_EQ(outcome_for("5.1.2 no such domain", false).kind, Kind::bounced);
  EXPECT_EQ(outcome_for("5.1.2 no such domain", false).status, (dsn::Status{"5.1.2", "no such domain"}));
  EXPECT_EQ(outcome_for("mail is off", false).status, (dsn::Status{"5.0.0", "mail is off"}));
  EXPECT_EQ(outcome_for("4.3.2 later", false).kind, Kind::deferred);
}

TEST(Retry, AlwaysDefers) {
  EXPECT_EQ(outcome_for("5.1.2 x", true).kind, Kind::deferred);
  EXPECT_EQ(outcome_for("5.1.2 x", true).status.code, "4.1.2");
  EXPECT_EQ(outcome_for("x", true).status.code, "4.0.0");
}

}  // namespace
}  // namespace stagepost::error
