// Templates of delivery reports.
#include "mail/report_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::mail {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

config::SnapshotPtr config_of(std::string_view text) {
  const auto config = config::Snapshot::from_text(text, "main.cf", {.check = config::LoadOptions::Check::no});
  EXPECT_TRUE(config.has_value());
  return *config;
}

const ReportTemplate& of(const ReportTemplates& templates, ReportKind kind) {
  return templates[static_cast<std::size_t>(kind)];
}

TEST(ReportTemplates, AFileReplacesWhatItNames) {
  std::vector<std::string> warnings;
  const ReportTemplates templates = parse_report_templates(
      "# comment\n\ndelay_template = <<END\nSubject: Late\nPostmaster-Subject: Copy\n\nHello $mail_name\n\n  $$5 "
      "\\\nEND\n",
      "t", warnings);
  EXPECT_THAT(warnings, IsEmpty());
  const ReportTemplate& delay = of(templates, ReportKind::delay);
  EXPECT_EQ(delay.subject, "Late");
  EXPECT_EQ(delay.postmaster_subject, "Copy");
  EXPECT_EQ(delay.from, "Mail Delivery System <MAILER-DAEMON>");
  EXPECT_EQ(delay.text, "Hello $mail_name\n\n  $$5 \\\n");
  EXPECT_EQ(expand_report_text(delay, *config_of("mail_name = M\n")).value(), "Hello M\n\n  $5 \\\n");
  EXPECT_TRUE(of(templates, ReportKind::failure).built_in);
}

TEST(ReportTemplates, WhatCannotBeUsedIsNamedAndLeftOut) {
  const auto warnings_of = [](std::string_view text) {
    std::vector<std::string> warnings;
    EXPECT_EQ(of(parse_report_templates(text, "t", warnings), ReportKind::failure).text,
              of(built_in_report_templates(), ReportKind::failure).text);
    return warnings;
  };
  EXPECT_THAT(warnings_of("failure_template = <<EOF\nfoo: bar\n\nabc\nEOF\n"),
              ElementsAre("t, line 2: unknown \"foo\" header label in failure template -- ignoring this template"));
  EXPECT_THAT(warnings_of("failure_template = <<EOF\nabc"), ElementsAre("t, line 2: missing \"EOF\" end marker"));
  EXPECT_THAT(warnings_of("\nfail_template = x\n"),
              ElementsAre("t, line 2: unknown template name: fail_template -- ignoring this template"));
  EXPECT_THAT(warnings_of("failure_template = <<EOF\n\n\xc3\xa9\nEOF\n"), ElementsAre(HasSubstr("t, line 3: 8-bit")));
  EXPECT_THAT(warnings_of("success_template = <<EOF\nPostmaster-Subject: x\n\nEOF\n"),
              ElementsAre(HasSubstr("\"Postmaster-Subject\" header label in success template")));
}

TEST(ReportTemplates, HeadersAreAscii) {
  std::vector<std::string> warnings;
  const ReportTemplates templates =
      parse_report_templates("verify_template = <<EOF\nCharset: utf-8\nSubject: \xc3\xa9\n\nx\nEOF\n", "t", warnings);
  EXPECT_THAT(warnings,
              ElementsAre(HasSubstr("t, line 3: non-ASCII or null character in a header in verify template")));
  EXPECT_TRUE(of(templates, ReportKind::verify).built_in);
}

TEST(ReportTemplates, HostNamesAreInUtf8WhereThatIsEnabled) {
  ReportTemplate report = of(built_in_report_templates(), ReportKind::failure);
  report.text = "$myhostname $mydomain";
  const std::string names = "myhostname = mx.xn--bcher-kva.example\nmydomain = xn--bcher-kva.example\n";
  EXPECT_EQ(expand_report_text(report, *config_of(names + "smtputf8_enable = yes\n")).value(),
            "mx.b\xc3\xbc"
            "cher.example b\xc3\xbc"
            "cher.example");
  EXPECT_EQ(expand_report_text(report, *config_of(names + "smtputf8_enable = no\n")).value(),
            "mx.xn--bcher-kva.example xn--bcher-kva.example");
}

TEST(ReportTemplates, TimesComeInWholeUnits) {
  const auto config = config_of("delay_warning_time = 90m\nmaximal_queue_lifetime = 5\n");
  ReportTemplate report = of(built_in_report_templates(), ReportKind::delay);
  EXPECT_THAT(expand_report_text(report, *config).value(), HasSubstr("more than 1 hour(s)"));
  EXPECT_THAT(expand_report_text(report, *config).value(), HasSubstr("5 day(s) old"));
  report.text = "$delay_warning_time_minutes $maximal_queue_lifetime_weeks $delay_warning_time_seconds";
  EXPECT_EQ(expand_report_text(report, *config).value(), "90 0 5400");
  report.text = "$no_such_name";
  EXPECT_EQ(expand_report_text(report, *config).error().message(), "undefined $no_such_name in delay template");
}

TEST(ReportTemplates, WhatIsShownCanBeReadAgain) {
  std::string file;
  for (const ReportTemplate& report : built_in_report_templates()) { file += format_report_template(report) + "\n"; }
  std::vector<std::string> warnings;
  const ReportTemplates again = parse_report_templates(file, "t", warnings);
  EXPECT_THAT(warnings, IsEmpty());
  for (std::size_t i = 0; i < again.size(); ++i) {
    EXPECT_EQ(format_report_template(again[i]), format_report_template(built_in_report_templates()[i]));
  }
}

}  // namespace
}  // namespace stagepost::mail
