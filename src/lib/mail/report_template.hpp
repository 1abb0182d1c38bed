// Templates of delivery reports (bounce(5)): what a report says to people before it comes to the recipients. Built in,
// or from bounce_template_file; postconf -b and -t show them. No I/O.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/snapshot.hpp"

namespace stagepost::mail {

enum class ReportKind : std::uint8_t { failure, delay, success, verify };

struct ReportTemplate {
  std::string_view name;  ///< "failure"
  std::string charset = "us-ascii";
  std::string from = "Mail Delivery System <MAILER-DAEMON>";
  std::string subject;
  std::string postmaster_subject = {};  ///< empty for kinds that postmaster gets no copy of
  /// Lines with their line feeds; `$name` not yet expanded.
  std::string text;
  bool built_in = true;
};

constexpr std::size_t kReportTemplateFileBytes = std::size_t{1} << 20;  ///< a larger template file is refused

/// Indexed by ReportKind.
using ReportTemplates = std::array<ReportTemplate, 4>;

[[nodiscard]] const ReportTemplates& built_in_report_templates();

/// The built-in templates with those of a template file in their place. What cannot be used is left out with a warning
/// ("file, line N: ..."): a template without end, with an unknown name or header, or with 8-bit text in us-ascii.
[[nodiscard]] ReportTemplates parse_report_templates(std::string_view content, std::string_view file,
                                                     std::vector<std::string>& warnings);
/// The text with every `$name` replaced: parameters of main.cf, and delay_warning_time and maximal_queue_lifetime in
/// whole units with _seconds, _minutes, _hours, _days or _weeks behind their names; with smtputf8_enable, myhostname
/// and mydomain are in UTF-8. Error: a name that nobody knows.
[[nodiscard]] Result<std::string> expand_report_text(const ReportTemplate& report, const config::Snapshot& config);

/// "failure_template = <<EOF ... EOF", as a template file has it.
[[nodiscard]] std::string format_report_template(const ReportTemplate& report);

}  // namespace stagepost::mail
