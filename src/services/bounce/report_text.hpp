// The text of a report: header, explanation, delivery status fields (RFC 3464) and the lines around the returned
// message, in Postfix's layout. Pure: the reporter streams these pieces to cleanup, so none holds more than one
// recipient.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "clients/bounce.hpp"
#include "config/snapshot.hpp"
#include "mail/address_list.hpp"
#include "mail/report_template.hpp"
#include "services/bounce/notice_plan.hpp"

namespace stagepost::bounce {

/// What the texts take from the configuration.
struct TextSettings {
  std::string myhostname;
  std::string myorigin;
  std::string mail_name;
  mail::FromFormat header_from_format = mail::FromFormat::standard;
  std::chrono::seconds delay_warning_time{0};
  std::chrono::seconds maximal_queue_lifetime{0};
  bool smtputf8_enable = true;
  /// Texts expanded; empty: the built-in ones.
  std::optional<mail::ReportTemplates> templates = {};
  /// Reads bounce_template_file. What cannot be used there is a warning in the log, and the built-in template serves.
  [[nodiscard]] static TextSettings from(const config::Snapshot& config);
};

/// One report about one message.
struct Report {
  Subject subject = Subject::failure;
  Audience audience = Audience::sender;
  Returned returned = Returned::headers;
  std::string recipient;  ///< of the report, internal form
  std::string queue_id;   ///< of the message reported
  std::string sender;     ///< of the message reported, internal form; empty: the null sender
  std::string dsn_envid;
  std::string encoding;  ///< "7bit", "8bit" or empty
  bool smtputf8 = false;
  std::chrono::sys_seconds now{};
  std::optional<std::chrono::sys_seconds> arrival;
};

/// "8bit" when the report may hold 8-bit text, otherwise the encoding of the message: what the report's queue file
/// says.
[[nodiscard]] std::string report_encoding(const TextSettings& settings, const Report& report);

/// The report's own header, from Date to the empty line. `boundary` is used in all parts.
[[nodiscard]] std::string boundary(const TextSettings& settings, const Report& report);
[[nodiscard]] std::string header(const TextSettings& settings, const Report& report);
/// First part: for people. The explanation is followed by one paragraph per recipient.
[[nodiscard]] std::string explanation_part(const TextSettings& settings, const Report& report);
[[nodiscard]] std::string recipient_paragraph(const TextSettings& settings, const Report& report,
                                              const clients::RecipientReport& entry);
/// Second part: for programs (RFC 3464; RFC 6533 for SMTPUTF8 mail). Fields of the message, then of each recipient.
[[nodiscard]] std::string status_part(const TextSettings& settings, const Report& report);
[[nodiscard]] std::string recipient_fields(const TextSettings& settings, const Report& report,
                                           const clients::RecipientReport& entry);
/// Third part: up to and including Return-Path, the first line of the returned message.
[[nodiscard]] std::string returned_part(const TextSettings& settings, const Report& report);
/// The final boundary.
[[nodiscard]] std::string end(const TextSettings& settings, const Report& report);

/// Breaks `text` at spaces into lines of at most 79 octets where possible; later lines are indented by four spaces.
[[nodiscard]] std::string wrap(std::string_view text);

}  // namespace stagepost::bounce
