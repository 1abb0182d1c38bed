#include "services/bounce/notice_plan.hpp"

#include "base/text.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::bounce {

NoticePolicy NoticePolicy::from(const config::Snapshot& config) {
  NoticePolicy policy;
  for (const std::string& name : config.list("notify_classes")) {
    if (text::iequals(name, "bounce")) { policy.bounce_copies = true; }
    if (text::iequals(name, "2bounce")) { policy.double_bounces = true; }
    if (text::iequals(name, "delay")) { policy.delay_copies = true; }
  }
  policy.bounce_notice_recipient = config.text("bounce_notice_recipient");
  policy.double_bounce_notice_recipient = config.text("2bounce_notice_recipient");
  policy.delay_notice_recipient = config.text("delay_notice_recipient");
  policy.double_bounce_sender = config.text("double_bounce_sender");
  if (policy.double_bounce_sender.find('@') == std::string::npos) {
    policy.double_bounce_sender += "@" + config.text("myhostname");
  }
  policy.bounce_size_limit = config.integer("bounce_size_limit");
  return policy;
}

NoticePlan plan_notices(const NoticePolicy& policy, Subject subject, const ReportedSender& sender) {
  NoticePlan plan;
  const bool small = sender.message_size <= policy.bounce_size_limit || policy.bounce_size_limit == 0;
  if (text::iequals(sender.address, policy.double_bounce_sender)) {
    plan.undeliverable_notification = subject == Subject::failure;
    return plan;
  }
  if (sender.address.empty()) {
    // RFC 5321 §4.5.5: a notification is not answered with a notification. Postmaster gets it instead, if wanted.
    if (subject == Subject::failure && policy.double_bounces) {
      plan.notices.push_back({.audience = Audience::postmaster,
                              .recipient = policy.double_bounce_notice_recipient,
                              .envelope_sender = policy.double_bounce_sender,
                              .returned = small ? Returned::message : Returned::headers});
    }
    return plan;
  }
  // RFC 3461 §4.3: RET matters for failures only; other reports never return the message.
  const bool full = subject == Subject::failure && sender.ret != queue::kRetHeaders && small;
  plan.notices.push_back({.audience = Audience::sender,
                          .recipient = std::string(sender.address),
                          .returned = full ? Returned::message : Returned::headers});
  const bool copy =
      (subject == Subject::failure && policy.bounce_copies) || (subject == Subject::delay && policy.delay_copies);
  if (copy) {
    plan.notices.push_back(
        {.audience = Audience::postmaster,
         .recipient = subject == Subject::delay ? policy.delay_notice_recipient : policy.bounce_notice_recipient,
         .envelope_sender = policy.double_bounce_sender,
         .returned = Returned::headers,
         .required = false});
  }
  return plan;
}

bool sender_wants(Subject subject, std::uint32_t notify) {
  switch (subject) {
    case Subject::failure:
      return notify == 0 || (notify & queue::kNotifyFailure) != 0;
    case Subject::delay:
      return notify == 0 || (notify & queue::kNotifyDelay) != 0;
    case Subject::success:
    case Subject::requested:
      break;  // only what was asked for is in the trace log
  }
  return true;
}

}  // namespace stagepost::bounce
