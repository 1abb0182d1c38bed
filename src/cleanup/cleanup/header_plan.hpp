// What becomes of each primary header field, and which fields are missing at the end of the header. Pure: fields in,
// decisions out; addresses are rewritten by the caller between the two.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "cleanup/cleanup/settings.hpp"
#include "mail/header.hpp"

namespace stagepost::cleanup {

class HeaderPlan {
 public:
  HeaderPlan(const Settings& settings, bool add_missing) : settings_(&settings), add_missing_(add_missing) {}

  enum class Action {
    keep,     ///< as it is
    rewrite,  ///< its addresses go through trivial-rewrite and canonical_maps first
    drop
  };
  /// Next primary header field.
  [[nodiscard]] Action on_header(const mail::HeaderField& field);

  struct Message {
    std::string queue_id;
    std::string sender;     ///< rewritten, internal form
    std::string full_name;  ///< from sendmail -F or the password file; may be empty
    std::chrono::sys_seconds arrival;
  };
  /// Fields to append at the end of the primary header: Message-Id, Date, From (RFC 5322 §3.6, or their Resent- forms
  /// when the message was resent), and undisclosed_recipients_header.
  [[nodiscard]] std::vector<std::string> missing_fields(const Message& message);

  /// "message-id=<...>" or "resent-message-id=<...>", for the log; to be called after the header's end.
  [[nodiscard]] std::string message_id_for_log() const;
  [[nodiscard]] bool too_many_hops() const { return hops_ > settings_->hopcount_limit; }
  /// Value of Content-Transfer-Encoding in lower case; empty: none seen.
  [[nodiscard]] const std::string& content_transfer_encoding() const { return encoding_; }

 private:
  const Settings* settings_;
  bool add_missing_;
  std::size_t hops_ = 0;
  bool resent_ = false;
  bool has_date_ = false, has_resent_date_ = false;
  bool has_from_ = false, has_resent_from_ = false;
  bool has_recipient_field_ = false;
  std::string message_id_;
  std::string resent_message_id_;
  std::string encoding_;
};

}  // namespace stagepost::cleanup
