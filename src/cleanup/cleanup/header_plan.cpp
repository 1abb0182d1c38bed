#include "cleanup/cleanup/header_plan.hpp"

#include "base/text.hpp"
#include "mail/address.hpp"
#include "mail/address_list.hpp"
#include "mail/date.hpp"
#include "mail/message_id.hpp"

namespace stagepost::cleanup {

using mail::HeaderKind;

HeaderPlan::Action HeaderPlan::on_header(const mail::HeaderField& field) {
  const mail::HeaderTraits traits = mail::header_traits(field.kind);
  if (traits.resent) { resent_ = true; }
  switch (field.kind) {
    case HeaderKind::received:
      ++hops_;
      break;
    case HeaderKind::date:
      has_date_ = true;
      break;
    case HeaderKind::resent_date:
      has_resent_date_ = true;
      break;
    case HeaderKind::from:
      has_from_ = true;
      break;
    case HeaderKind::resent_from:
      has_resent_from_ = true;
      break;
    case HeaderKind::to:
    case HeaderKind::cc:
    case HeaderKind::bcc:
    case HeaderKind::resent_to:
    case HeaderKind::resent_cc:
    case HeaderKind::resent_bcc:
      has_recipient_field_ = true;
      break;
    case HeaderKind::message_id:
      message_id_ = text::trim(mail::unfold(field.body));
      break;
    case HeaderKind::resent_message_id:
      resent_message_id_ = text::trim(mail::unfold(field.body));
      break;
    case HeaderKind::content_transfer_encoding:
      encoding_ = text::to_lower(text::trim(field.body));
      break;
    default:
      break;
  }
  if (settings_->drop_headers.contains(field.kind) ||
      (field.kind == HeaderKind::other && settings_->drop_header_names.contains(text::to_lower(field.name)))) {
    return Action::drop;
  }
  return traits.addresses == mail::HeaderTraits::Addresses::none ? Action::keep : Action::rewrite;
}

std::vector<std::string> HeaderPlan::missing_fields(const Message& message) {
  std::vector<std::string> fields;
  if (add_missing_) {
    const std::string prefix = resent_ ? "Resent-" : "";
    std::string& message_id = resent_ ? resent_message_id_ : message_id_;
    if (message_id.empty()) {
      message_id = mail::format_message_id(message.arrival, message.queue_id, settings_->myhostname);
      fields.push_back(prefix + "Message-Id: " + message_id);
    }
    if (!(resent_ ? has_resent_date_ : has_date_)) {
      fields.push_back(prefix + "Date: " + mail::format_date(message.arrival));
    }
    if (!(resent_ ? has_resent_from_ : has_from_)) {
      // RFC 5322 §3.6.2 needs an address even where the envelope has the null sender.
      const std::string from = message.sender.empty()
                                   ? "MAILER-DAEMON"
                                   : mail::format_mailbox(mail::quote_822_local(message.sender), message.full_name,
                                                          settings_->header_from_format);
      fields.push_back(prefix + "From: " + from);
    }
  }
  if (!has_recipient_field_ && !settings_->undisclosed_recipients_header.empty()) {
    fields.push_back(settings_->undisclosed_recipients_header);
  }
  return fields;
}

std::string HeaderPlan::message_id_for_log() const {
  const std::string& id = resent_ && !resent_message_id_.empty() ? resent_message_id_ : message_id_;
  const std::string_view name = resent_ && !resent_message_id_.empty() ? "resent-message-id=" : "message-id=";
  return std::string(name) + (id.empty() ? "<>" : id);
}

}  // namespace stagepost::cleanup
