#include "services/bounce/report_text.hpp"

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "config/expansion.hpp"
#include "delivery/report_log.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"
#include "mail/date.hpp"
#include "mail/dsn.hpp"

namespace stagepost::bounce {
namespace {

using Action = clients::RecipientReport::Action;

constexpr std::size_t kLineOctets = 79;

const mail::ReportTemplate& template_of(const TextSettings& settings, Subject subject) {
  const mail::ReportTemplates& templates = settings.templates ? *settings.templates : mail::built_in_report_templates();
  mail::ReportKind kind = mail::ReportKind::verify;
  switch (subject) {
    case Subject::failure:
      kind = mail::ReportKind::failure;
      break;
    case Subject::delay:
      kind = mail::ReportKind::delay;
      break;
    case Subject::success:
      kind = mail::ReportKind::success;
      break;
    case Subject::requested:
      break;
  }
  return templates[static_cast<std::size_t>(kind)];
}

std::string_view subject_line(const TextSettings& settings, const Report& report) {
  const mail::ReportTemplate& chosen = template_of(settings, report.subject);
  return report.audience == Audience::postmaster && !chosen.postmaster_subject.empty() ? chosen.postmaster_subject
                                                                                       : chosen.subject;
}

std::string explanation(const TextSettings& settings, const Report& report) {
  if (report.audience == Audience::postmaster) { return {}; }
  const mail::ReportTemplate& chosen = template_of(settings, report.subject);
  if (settings.templates) { return chosen.text; }
  const auto expanded = config::expand(chosen.text, [&](std::string_view name) -> Result<std::optional<std::string>> {
    if (name == "myhostname") { return settings.myhostname; }
    if (name == "delay_warning_time_hours") { return std::to_string(settings.delay_warning_time.count() / 3600); }
    return std::to_string(settings.maximal_queue_lifetime.count() / 86400);
  });
  return expanded.value_or("");
}

/// Templates of the configuration with their texts expanded.
mail::ReportTemplates load_templates(const config::Snapshot& config) {
  mail::ReportTemplates templates = mail::built_in_report_templates();
  const std::string& path = config.text("bounce_template_file");
  if (!path.empty()) {
    const auto content = sys::read_file(path, mail::kReportTemplateFileBytes);
    std::vector<std::string> warnings;
    if (content) {
      templates = mail::parse_report_templates(*content, path, warnings);
    } else {
      warnings.push_back(content.error().message() + " -- using the built-in templates");
    }
    for (const std::string& warning : warnings) { log::warning("{}", warning); }
  }
  for (std::size_t i = 0; i < templates.size(); ++i) {
    auto text = mail::expand_report_text(templates[i], config);
    if (!text) {
      log::warning("{}: {} -- using the built-in template", path, text.error().message());
      templates[i] = mail::built_in_report_templates()[i];
      text = mail::expand_report_text(templates[i], config);
    }
    templates[i].text = text.value_or("");
  }
  return templates;
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
          .smtputf8_enable = config.boolean("smtputf8_enable"),
          .templates = load_templates(config)};
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
  const mail::ReportTemplate& chosen = template_of(settings, report.subject);
  const std::string from = chosen.from != mail::ReportTemplate().from
                               ? chosen.from
                               : mail::format_mailbox("MAILER-DAEMON@" + settings.myorigin, "Mail Delivery System",
                                                      settings.header_from_format);
  std::string text = fmt::format(
      "Date: {}\nFrom: {}\nSubject: {}\nTo: {}\nAuto-Submitted: {}\nMIME-Version: 1.0\n"
      "Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"{}\"\n",
      mail::format_date(report.now), from, subject_line(settings, report), mail::quote_822_local(report.recipient),
      report.audience == Audience::postmaster ? "auto-generated" : "auto-replied", boundary(settings, report));
  const std::string encoding = report_encoding(settings, report);
  if (!encoding.empty()) { text += "Content-Transfer-Encoding: " + encoding + "\n"; }
  text += "\nThis is a MIME-encapsulated message.\n";
  return text;
}

std::string explanation_part(const TextSettings& settings, const Report& report) {
  const std::string& charset = template_of(settings, report.subject).charset;
  const bool ascii = text::iequals(charset, "us-ascii");
  const bool eight_bit = is_8bit(settings, report) || !ascii;
  std::string text = part_start(settings, report, "Notification",
                                ascii ? eight_bit ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii"
                                      : "text/plain; charset=" + printable(charset));
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
