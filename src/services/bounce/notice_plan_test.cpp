#include "services/bounce/notice_plan.hpp"

#include <gtest/gtest.h>

#include "queue/message_reader.hpp"

namespace stagepost::bounce {
namespace {

NoticePolicy policy(bool all_classes) {
  return {.bounce_copies = all_classes,
          .double_bounces = all_classes,
          .delay_copies = all_classes,
          .bounce_notice_recipient = "pmb",
          .double_bounce_notice_recipient = "pm2",
          .delay_notice_recipient = "pmd",
          .double_bounce_sender = "double-bounce@mx.test",
          .bounce_size_limit = 1000};
}

Notice to_sender(Returned returned) { return {.recipient = "s@a", .returned = returned}; }
Notice to_postmaster(std::string recipient, Returned returned, bool required) {
  return {.audience = Audience::postmaster,
          .recipient = std::move(recipient),
          .envelope_sender = "double-bounce@mx.test",
          .returned = returned,
          .required = required};
}

TEST(NoticePlan, TheSenderIsToldAndTheSizeLimitAndRetDecideWhatIsReturned) {
  const auto plan = [](Subject subject, std::uint32_t ret, std::int64_t size) {
    return plan_notices(policy(false), subject, {"s@a", ret, size}).notices;
  };
  EXPECT_EQ(plan(Subject::failure, 0, 1000), std::vector{to_sender(Returned::message)});
  EXPECT_EQ(plan(Subject::failure, 0, 1001), std::vector{to_sender(Returned::headers)});
  EXPECT_EQ(plan(Subject::failure, queue::kRetFull, 1), std::vector{to_sender(Returned::message)});
  EXPECT_EQ(plan(Subject::failure, queue::kRetHeaders, 1), std::vector{to_sender(Returned::headers)});
  EXPECT_EQ(plan(Subject::delay, queue::kRetFull, 1), std::vector{to_sender(Returned::headers)});
  EXPECT_EQ(plan(Subject::success, queue::kRetFull, 1), std::vector{to_sender(Returned::headers)});
}

TEST(NoticePlan, PostmasterGetsCopiesOfTheClassesInNotifyClasses) {
  const auto plan = [](Subject subject) { return plan_notices(policy(true), subject, {"s@a", 0, 1}).notices; };
  EXPECT_EQ(plan(Subject::failure),
            (std::vector{to_sender(Returned::message), to_postmaster("pmb", Returned::headers, false)}));
  EXPECT_EQ(plan(Subject::delay),
            (std::vector{to_sender(Returned::headers), to_postmaster("pmd", Returned::headers, false)}));
  EXPECT_EQ(plan(Subject::requested), std::vector{to_sender(Returned::headers)});
}

TEST(NoticePlan, NobodyAnswersTheNullSender) {
  for (const auto subject : {Subject::failure, Subject::delay, Subject::success, Subject::requested}) {
    EXPECT_TRUE(plan_notices(policy(false), subject, {"", 0, 1}).notices.empty());
  }
  EXPECT_EQ(plan_notices(policy(true), Subject::failure, {"", 0, 1}).notices,
            std::vector{to_postmaster("pm2", Returned::message, true)});
  EXPECT_EQ(plan_notices(policy(true), Subject::failure, {"", 0, 2000}).notices,
            std::vector{to_postmaster("pm2", Returned::headers, true)});
  EXPECT_TRUE(plan_notices(policy(true), Subject::delay, {"", 0, 1}).notices.empty());
}

TEST(NoticePlan, ANotificationToPostmasterThatFailsEndsTheChain) {
  const auto failed = plan_notices(policy(true), Subject::failure, {"double-bounce@mx.test", 0, 1});
  EXPECT_TRUE(failed.notices.empty());
  EXPECT_TRUE(failed.undeliverable_notification);
  const auto delayed = plan_notices(policy(true), Subject::delay, {"Double-Bounce@MX.test", 0, 1});
  EXPECT_TRUE(delayed.notices.empty());
  EXPECT_FALSE(delayed.undeliverable_notification);
  // As with Postfix, the same name in another domain is an ordinary sender.
  EXPECT_EQ(plan_notices(policy(true), Subject::failure, {"double-bounce@else", 0, 1}).notices.size(), 2U);
}

TEST(NoticePlan, NotifyDecidesWhichRecipientsTheSenderHearsOf) {
  EXPECT_TRUE(sender_wants(Subject::failure, 0));
  EXPECT_TRUE(sender_wants(Subject::delay, 0));
  EXPECT_FALSE(sender_wants(Subject::failure, queue::kNotifyNever));
  EXPECT_FALSE(sender_wants(Subject::failure, queue::kNotifyDelay | queue::kNotifySuccess));
  EXPECT_TRUE(sender_wants(Subject::failure, queue::kNotifyFailure | queue::kNotifySuccess));
  EXPECT_FALSE(sender_wants(Subject::delay, queue::kNotifyFailure));
  EXPECT_TRUE(sender_wants(Subject::delay, queue::kNotifyDelay));
  EXPECT_TRUE(sender_wants(Subject::success, queue::kNotifySuccess));
}

}  // namespace
}  // namespace stagepost::bounce
