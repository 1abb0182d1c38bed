// Who is told about the outcome of a message: its sender, postmaster, or nobody. The rules of notify_classes, of the
// null sender and of double_bounce_sender, which together end every loop of notifications. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/snapshot.hpp"

namespace stagepost::bounce {

/// What a report is about.
enum class Subject : std::uint8_t {
  failure,   ///< recipients that will never get the message
  delay,     ///< recipients that have not got it yet
  success,   ///< NOTIFY=SUCCESS
  requested  ///< sendmail -v or -bv: every outcome
};

enum class Audience : std::uint8_t { sender, postmaster };
enum class Returned : std::uint8_t { message, headers };

struct Notice {
  Audience audience = Audience::sender;
  std::string recipient;
  std::string envelope_sender;  ///< empty: the null sender
  Returned returned = Returned::headers;
  /// The caller's request has failed if this notice can't be sent. Copies for postmaster are not worth a second bounce.
  bool required = true;
  bool operator==(const Notice&) const = default;
};

struct NoticePolicy {
  bool bounce_copies = false;   ///< notify_classes: bounce
  bool double_bounces = false;  ///< 2bounce
  bool delay_copies = false;    ///< delay
  std::string bounce_notice_recipient;
  std::string double_bounce_notice_recipient;  ///< 2bounce_notice_recipient
  std::string delay_notice_recipient;
  std::string double_bounce_sender;    ///< with domain
  std::int64_t bounce_size_limit = 0;  ///< bytes; larger messages are not returned in full
  [[nodiscard]] static NoticePolicy from(const config::Snapshot& config);
};

struct ReportedSender {
  std::string_view address;  ///< envelope sender of the message the report is about
  std::uint32_t ret = 0;     ///< queue::RetFlags
  std::int64_t message_size = 0;
};

struct NoticePlan {
  std::vector<Notice> notices;
  /// The message was a notification to postmaster itself: dropped, with a line in the log.
  bool undeliverable_notification = false;
};
[[nodiscard]] NoticePlan plan_notices(const NoticePolicy& policy, Subject subject, const ReportedSender& sender);

/// RFC 3461 §4.1: does the sender hear of this recipient? `notify` is NOTIFY; 0 stands for FAILURE and DELAY.
[[nodiscard]] bool sender_wants(Subject subject, std::uint32_t notify);

}  // namespace stagepost::bounce
