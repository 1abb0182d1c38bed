#include "mail/message_id.hpp"

#include <gtest/gtest.h>

namespace stagepost::mail {
namespace {

TEST(MessageId, HoldsUtcTimeQueueIdAndHost) {
  EXPECT_EQ(
      format_message_id(std::chrono::sys_seconds{std::chrono::seconds{1794576254}}, "4XQK9f1Dz3z", "mx.example.com"),
      "<20261113132414.4XQK9f1Dz3z@mx.example.com>");
}

}  // namespace
}  // namespace stagepost::mail
