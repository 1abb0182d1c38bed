#include "services/bounce/report_text.hpp"

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "delivery/report_log.hpp"
#include "mail/address.hpp"
#include "mail/date.hpp"
#include "mail/dsn.hpp"

namespace stagepost::bounce {
namespace {

using Action = clients::RecipientReport::Action;

constexpr std::size_t kLineOctets = 79;

std::string_view subject_line(Subject subject, Audience audience) {
  switch (subject) {
    case Subject::failure:
      return audience == Audience::postmaster ? "Postmaster Copy: Undelivered Mail"
                                              : "Undelivered Mail Returned to Sender";
    case Subject::delay:
      return audience == Audience::postmaster ? "Postmaster Warning: Delayed Mail"
                                              : "Delayed Mail (still being retried)";
    case Subject::success:
      return "Successful Mail Delivery Report";
    case Subject::requested:
      break;
  }
  return "Mail Delivery Status Report";
}

/// "5 day(s)", in the largest unit that leaves at least one.
std::string duration(std::chrono::seconds time) {
  const auto count = time.count();
  if (count >= 86400) { return fmt::format("{} day(s)", count / 86400); }
  if (count >= 3600) { return fmt::format("{} hour(s)", count / 3600); }
  if (count >= 60) { return fmt::format("{} minute(s)", count / 60); }
  return fmt::format("{} second(s)", count);
}

std::string explanation(const TextSettings& settings, const Report& report) {
  if (report.audience == Audience::postmaster) { return {}; }
  // Mailing list managers know a report of this family by its first line; the rest is for people.
  std::string text = fmt::format("This is the mail system at host {}.\n\n", settings.myhostname);
  switch (report.subject) {
    case Subject::failure:
      text +=
          "Your message could not be delivered to the recipients below, and\n"
          "no further attempt will be made. Each address is followed by the\n"
          "reason that was given. What you sent is attached.\n\n"
          "If you need help, write to postmaster and enclose this report; the\n"
          "attached copy of your own text is not needed.\n";
      break;
    case Subject::delay:
      text += fmt::format(
          "This is only a warning. Your message is still in the queue, and you\n"
          "do not need to send it again.\n\n"
          "It has been waiting for more than {} to be delivered to the\n"
          "recipients below. Attempts go on until it is {} old.\n",
          duration(settings.delay_warning_time), duration(settings.maximal_queue_lifetime));
      break;
    case Subject::success:
      text +=
          "You asked to be told: your message was delivered to the recipients\n"
          "below, or passed on to a server that does not report deliveries. In\n"
          "the second case you may still hear of a failure from elsewhere.\n";
      break;
    case Subject::requested:
      text += "Here is the report on the delivery of your message that you asked for.\n";
      break;
  }
  return text;
}

bool is_8bit(const TextSettings& settings, const Report& report) {
  return settings.smtputf8_enable || report.smtputf8 || report.encoding == "8bit";
}

/// A value from a peer as one line, ASCII where the report is.
std::string clean(const TextSettings& settings, const Report& report, std::string_view value) {
  constexpr std::size_t kValueOctets = 8192;
  const auto utf8 = is_8bit(settings, report) ? LogText::Utf8::keep : LogText::Utf8::replace;
  return LogText(PeerBytes(value), kValueOctets, utf8).str();
}

/// MAILER-DAEMON stands for the null sender.
std::string sender_text(const TextSettings& settings, const Report& report) {
  if (report.sender.empty()) { return "MAILER-DAEMON@" + settings.myhostname; }
  return mail::quote_822_local(report.sender);
}

/// RFC 6533 §3: an address that is not ASCII has a type of its own, which only an SMTPUTF8 report may use.
std::string typed_address(const Report& report, std::string_view external) {
  return fmt::format("{}; {}", report.smtputf8 && !text::is_ascii(external) ? "utf-8" : "rfc822", external);
}

std::string part_start(const TextSettings& settings, const Report& report, std::string_view description,
                       std::string_view type) {
  return fmt::format("\n--{}\nContent-Description: {}\nContent-Type: {}\n", boundary(settings, report), description,
                     type);
}

}  // namespace

TextSettings TextSettings::from(const config::Snapshot& config) {
  return {.myhostname = config.text("myhostname"),
          .myorigin = config.text("myorigin"),
          .mail_name = config.text("mail_name"),
          .header_from_format =
              config.text("header_from_format") == "obsolete" ? mail::FromFormat::obsolete : mail::FromFormat::standard,
          .delay_warning_time = config.seconds("delay_warning_time"),
          .maximal_queue_lifetime = config.seconds("maximal_queue_lifetime"),
          .smtputf8_enable = config.boolean("smtputf8_enable")};
}

std::string report_encoding(const TextSettings& settings, const Report& report) {
  return is_8bit(settings, report) ? "8bit" : report.encoding;
}

std::string wrap(std::string_view text) {
  std::string out;
  std::size_t indent = 0;
  while (text.size() + indent > kLineOctets) {
    std::size_t at = text.rfind(' ', kLineOctets - indent);
    // A word longer than a line stays whole.
    if (at == std::string_view::npos || at == 0) { at = text.find(' ', 1); }
    if (at == std::string_view::npos) { break; }
    out.append(indent, ' ');
    out += text.substr(0, at);
    out += '\n';
    text.remove_prefix(at + 1);
    indent = 4;
  }
  out.append(indent, ' ');
  out += text;
  out += '\n';
  return out;
}

std::string boundary(const TextSettings& settings, const Report& report) {
  return fmt::format("{}.{}/{}", report.queue_id, report.now.time_since_epoch().count(), settings.myhostname);
}

std::string header(const TextSettings& settings, const Report& report) {
  const std::string from =
      mail::format_mailbox("MAILER-DAEMON@" + settings.myorigin, "Mail Delivery System", settings.header_from_format);
  std::string text = fmt::format(
      "Date: {}\nFrom: {}\nSubject: {}\nTo: {}\nAuto-Submitted: {}\nMIME-Version: 1.0\n"
      "Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"{}\"\n",
      mail::format_date(report.now), from, subject_line(report.subject, report.audience),
      mail::quote_822_local(report.recipient),
      report.audience == Audience::postmaster ? "auto-generated" : "auto-replied", boundary(settings, report));
  const std::string encoding = report_encoding(settings, report);
  if (!encoding.empty()) { text += "Content-Transfer-Encoding: " + encoding + "\n"; }
  text += "\nThis is a MIME-encapsulated message.\n";
  return text;
}

std::string explanation_part(const TextSettings& settings, const Report& report) {
  const bool eight_bit = is_8bit(settings, report);
  std::string text = part_start(settings, report, "Notification",
                                eight_bit ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii");
  if (eight_bit) { text += "Content-Transfer-Encoding: 8bit\n"; }
  text += "\n" + explanation(settings, report);
  return text;
}

std::string recipient_paragraph(const TextSettings& settings, const Report& report,
                                const clients::RecipientReport& entry) {
  const auto& recipient = entry.recipient;
  std::string text = "<" + mail::quote_822_local(recipient.address) + ">";
  if (!recipient.original.empty() && recipient.original.find('@') != std::string::npos &&
      !text::iequals(recipient.original, recipient.address)) {
    text += " (expanded from <" + mail::quote_822_local(recipient.original) + ">)";
  }
  return "\n" + wrap(clean(settings, report, text + ": " + entry.reason));
}

std::string status_part(const TextSettings& settings, const Report& report) {
  std::string text = part_start(settings, report, "Delivery report",
                                report.smtputf8 ? "message/global-delivery-status" : "message/delivery-status");
  if (report.smtputf8) { text += "Content-Transfer-Encoding: 8bit\n"; }
  text += fmt::format("\nReporting-MTA: dns; {}\n", settings.myhostname);
  if (!report.dsn_envid.empty()) {
    text += "Original-Envelope-Id: " + clean(settings, report, report.dsn_envid) + "\n";
  }
  text += fmt::format("X-{0}-Queue-ID: {1}\nX-{0}-Sender: {2}\n", settings.mail_name, report.queue_id,
                      typed_address(report, sender_text(settings, report)));
  if (report.arrival) { text += "Arrival-Date: " + mail::format_date(*report.arrival) + "\n"; }
  return text;
}

std::string recipient_fields(const TextSettings& settings, const Report& report,
                             const clients::RecipientReport& entry) {
  const auto& recipient = entry.recipient;
  std::string text = "\nFinal-Recipient: " + typed_address(report, mail::quote_822_local(recipient.address)) + "\n";
  if (!recipient.dsn_original.empty()) {
    text += "Original-Recipient: " + clean(settings, report, recipient.dsn_original) + "\n";
  } else if (!recipient.original.empty()) {
    text += "Original-Recipient: " + typed_address(report, mail::quote_822_local(recipient.original)) + "\n";
  }
  Action action = entry.action;
  // The defer log says "delayed" of recipients whose time is over now.
  if (report.subject == Subject::failure) { action = Action::failed; }
  if (report.subject == Subject::delay) { action = Action::delayed; }
  text += fmt::format("Action: {}\nStatus: {}\n", delivery::action_word(action), clean(settings, report, entry.status));
  if (!entry.remote_mta.empty()) { text += "Remote-MTA: dns; " + clean(settings, report, entry.remote_mta) + "\n"; }
  if (!entry.diagnostic.empty()) {
    const std::string type = entry.diagnostic_type.empty() ? "X-" + settings.mail_name : entry.diagnostic_type;
    text += wrap(fmt::format("Diagnostic-Code: {}; {}", clean(settings, report, type),
                             clean(settings, report, entry.diagnostic)));
  } else {
    text += wrap(fmt::format("Diagnostic-Code: X-{}; {}", settings.mail_name, clean(settings, report, entry.reason)));
  }
  if (report.subject == Subject::delay && report.arrival) {
    text += "Will-Retry-Until: " + mail::format_date(*report.arrival + settings.maximal_queue_lifetime) + "\n";
  }
  return text;
}

std::string returned_part(const TextSettings& settings, const Report& report) {
  const bool failed = report.subject == Subject::failure || report.subject == Subject::delay;
  const bool full = report.returned == Returned::message;
  const std::string description = std::string(failed ? "Undelivered Message" : "Message") + (full ? "" : " Headers");
  const std::string_view type = full ? (report.smtputf8 ? "message/global" : "message/rfc822")
                                     : (report.smtputf8 ? "message/global-headers" : "text/rfc822-headers");
  std::string text = part_start(settings, report, description, type);
  if (is_8bit(settings, report)) { text += "Content-Transfer-Encoding: 8bit\n"; }
  text += "\nReturn-Path: <" + sender_text(settings, report) + ">\n";
  return text;
}

std::string end(const TextSettings& settings, const Report& report) {
  return "\n--" + boundary(settings, report) + "--\n";
}

}  // namespace stagepost::bounce
