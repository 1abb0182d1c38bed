#include "mail/report_template.hpp"

#include <algorithm>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "config/expansion.hpp"
#include "mail/hostname.hpp"

namespace stagepost::mail {
namespace {

// Mailing list managers know a report of this family by its first line; the rest is for people.
#define SP_FIRST_LINE "This is the mail system at host $myhostname.\n\n"

struct Line {
  std::string_view text;
  std::size_t number = 0;
};

std::vector<Line> split_lines(std::string_view content) {
  std::vector<Line> lines;
  for (std::size_t number = 1; !content.empty(); ++number) {
    const std::size_t end = content.find('\n');
    std::string_view line = content.substr(0, end);
    if (line.ends_with('\r')) { line.remove_suffix(1); }
    lines.push_back({line, number});
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
  }
  return lines;
}

/// The lines between "<<EOF" and "EOF" as a template; an explanation when they are none.
Result<ReportTemplate> parse_one(ReportTemplate report, std::span<const Line> lines) {
  std::size_t i = 0;
  for (; i < lines.size() && !text::trim(lines[i].text).empty(); ++i) {
    const std::string_view line = lines[i].text;
    const auto wrong = [&](std::string_view what) {
      return failure(fmt::format("line {}: {} in {} template", lines[i].number, what, report.name));
    };
    const std::size_t colon = line.find(':');
    const std::string label = text::to_lower(text::trim(line.substr(0, colon)));
    const std::string_view value =
        colon == std::string_view::npos ? std::string_view() : text::trim(line.substr(colon + 1));
    if (!text::is_ascii(line) || line.find('\0') != std::string_view::npos) {
      return wrong("non-ASCII or null character in a header");
    }
    if (label == "charset" && colon != std::string_view::npos) {
      report.charset = value;
    } else if (label == "from" && colon != std::string_view::npos) {
      report.from = value;
    } else if (label == "subject" && colon != std::string_view::npos) {
      report.subject = value;
    } else if (label == "postmaster-subject" && colon != std::string_view::npos && !report.postmaster_subject.empty()) {
      report.postmaster_subject = value;
    } else {
      return wrong(fmt::format("unknown \"{}\" header label", printable(line.substr(0, colon))));
    }
  }
  report.text.clear();
  for (i += i < lines.size() ? 1 : 0; i < lines.size(); ++i) {
    if (text::iequals(report.charset, "us-ascii") && !text::is_ascii(lines[i].text)) {
      return failure(fmt::format("line {}: 8-bit message text in {} template with charset us-ascii", lines[i].number,
                                 report.name));
    }
    report.text += fmt::format("{}\n", lines[i].text);
  }
  report.built_in = false;
  return report;
}

/// "delay_warning_time_hours" and its like.
std::optional<std::string> time_value(std::string_view name, const config::Snapshot& config) {
  static constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
      {"_seconds", 1}, {"_minutes", 60}, {"_hours", 3600}, {"_days", 86400}, {"_weeks", 604800}};
  for (const std::string_view parameter : {"delay_warning_time", "maximal_queue_lifetime"}) {
    if (!name.starts_with(parameter)) { continue; }
    const auto unit =
        std::ranges::find(kUnits, name.substr(parameter.size()), &std::pair<std::string_view, std::int64_t>::first);
    const char default_unit = config::find_parameter(parameter)->time_unit;
    const auto seconds = config::parse_time(text::trim(config.find_text(parameter).value_or("")), default_unit);
    if (unit != std::end(kUnits) && seconds) { return std::to_string(*seconds / unit->second); }
  }
  return std::nullopt;
}

}  // namespace

const ReportTemplates& built_in_report_templates() {
  static const ReportTemplates kTemplates = {
      ReportTemplate{.name = "failure",
                     .subject = "Undelivered Mail Returned to Sender",
                     .postmaster_subject = "Postmaster Copy: Undelivered Mail",
                     .text = SP_FIRST_LINE "Your message could not be delivered to the recipients below, and\n"
                                           "no further attempt will be made. Each address is followed by the\n"
                                           "reason that was given. What you sent is attached.\n\n"
                                           "If you need help, write to postmaster and enclose this report; the\n"
                                           "attached copy of your own text is not needed.\n"},
      ReportTemplate{.name = "delay",
                     .subject = "Delayed Mail (still being retried)",
                     .postmaster_subject = "Postmaster Warning: Delayed Mail",
                     .text = SP_FIRST_LINE
                     "This is only a warning. Your message is still in the queue, and you\n"
                     "do not need to send it again.\n\n"
                     "It has been waiting for more than $delay_warning_time_hours hour(s) to be delivered to\n"
                     "the recipients below. Attempts go on until it is $maximal_queue_lifetime_days day(s) old.\n"},
      ReportTemplate{.name = "success",
                     .subject = "Successful Mail Delivery Report",
                     .text = SP_FIRST_LINE "You asked to be told: your message was delivered to the recipients\n"
                                           "below, or passed on to a server that does not report deliveries. In\n"
                                           "the second case you may still hear of a failure from elsewhere.\n"},
      ReportTemplate{.name = "verify",
                     .subject = "Mail Delivery Status Report",
                     .text = SP_FIRST_LINE "Here is the report on the delivery of your message that you asked for.\n"},
  };
  return kTemplates;
}

ReportTemplates parse_report_templates(std::string_view content, std::string_view file,
                                       std::vector<std::string>& warnings) {
  ReportTemplates templates = built_in_report_templates();
  const std::vector<Line> lines = split_lines(content);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = text::trim(lines[i].text);
    if (line.empty() || line.front() == '#') { continue; }
    const auto warn = [&](std::string_view what) {
      warnings.push_back(fmt::format("{}, line {}: {}", file, lines[i].number, what));
    };
    const std::size_t equals = line.find('=');
    const std::string_view name = text::trim(line.substr(0, equals));
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : text::trim(line.substr(equals + 1));
    if (!value.starts_with("<<") || text::trim(value.substr(2)).empty()) {
      warn(fmt::format("unknown template name: {} -- ignoring this template", printable(name)));
      continue;
    }
    const std::string_view end_marker = text::trim(value.substr(2));
    const auto start = lines.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    const auto end = std::find_if(start, lines.end(), [&](const Line& other) { return other.text == end_marker; });
    const auto known = std::ranges::find_if(
        templates, [&](const ReportTemplate& report) { return name == fmt::format("{}_template", report.name); });
    if (end == lines.end()) {
      warnings.push_back(
          fmt::format("{}, line {}: missing \"{}\" end marker", file, lines.back().number, printable(end_marker)));
      return templates;
    }
    if (known == templates.end()) {
      warn(fmt::format("unknown template name: {} -- ignoring this template", printable(name)));
    } else if (auto parsed = parse_one(*known, std::span(start, end))) {
      *known = *std::move(parsed);
    } else {
      warnings.push_back(fmt::format("{}, {} -- ignoring this template", file, parsed.error().message()));
    }
    i = static_cast<std::size_t>(end - lines.begin());
  }
  return templates;
}

Result<std::string> expand_report_text(const ReportTemplate& report, const config::Snapshot& config) {
  const auto smtputf8 = config.find_text("smtputf8_enable");
  return config::expand(report.text, [&](std::string_view name) -> Result<std::optional<std::string>> {
    if ((name == "myhostname" || name == "mydomain") && smtputf8 && text::iequals(*smtputf8, "yes")) {
      const std::string domain = config.find_text(name).value_or("");
      return domain_to_utf8(domain).value_or(domain);
    }
    if (auto time = time_value(name, config)) { return time; }
    if (auto value = config.find_text(name)) { return value; }
    return failure(fmt::format("undefined ${} in {} template", printable(name), report.name));
  });
}

std::string format_report_template(const ReportTemplate& report) {
  std::string text = fmt::format("{}_template = <<EOF\nCharset: {}\nFrom: {}\nSubject: {}\n", report.name,
                                 report.charset, report.from, report.subject);
  if (!report.postmaster_subject.empty()) {
    text += fmt::format("Postmaster-Subject: {}\n", report.postmaster_subject);
  }
  return text + "\n" + report.text + "EOF\n";
}

}  // namespace stagepost::mail
