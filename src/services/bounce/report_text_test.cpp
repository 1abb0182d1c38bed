// The expected texts are those of Postfix 3.7.11, but for the explanation.
#include "services/bounce/report_text.hpp"

#include <cstdlib>
#include <ctime>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"

namespace stagepost::bounce {
namespace {

using clients::RecipientReport;
using testing::HasSubstr;
using testing::Not;

TextSettings settings() {
  return {.myhostname = "mx.test",
          .myorigin = "origin.test",
          .mail_name = "Postfix",
          .delay_warning_time = std::chrono::hours(4),
          .maximal_queue_lifetime = std::chrono::days(5),
          .smtputf8_enable = false};
}

Report report() {
  return {.recipient = "s@remote.test",
          .queue_id = "52E1711A871",
          .sender = "s@remote.test",
          .now = std::chrono::sys_seconds(std::chrono::seconds(1795353666)),
          .arrival = std::chrono::sys_seconds(std::chrono::seconds(1795353600))};
}

RecipientReport entry() {
  return {.recipient = {.address = "bad1@remote.test", .dsn_original = "rfc822;Orig+bad@elsewhere.test"},
          .status = "5.1.1",
          .reason = "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 No such user (in reply to RCPT TO command)",
          .remote_mta = "127.0.0.1",
          .diagnostic_type = "smtp",
          .diagnostic = "550 5.1.1 No such user"};
}

class ReportText : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};

TEST_F(ReportText, Header) {
  EXPECT_EQ(header(settings(), report()),
            "Date: Sun, 22 Nov 2026 13:21:06 +0000 (UTC)\n"
            "From: Mail Delivery System <MAILER-DAEMON@origin.test>\n"
            "Subject: Undelivered Mail Returned to Sender\n"
            "To: s@remote.test\n"
            "Auto-Submitted: auto-replied\n"
            "MIME-Version: 1.0\n"
            "Content-Type: multipart/report; report-type=delivery-status;\n"
            "\tboundary=\"52E1711A871.1795353666/mx.test\"\n\n"
            "This is a MIME-encapsulated message.\n");
}

TEST_F(ReportText, SubjectAndOriginOfEachKind) {
  const auto line = [](Subject subject, Audience audience) {
    Report r = report();
    r.subject = subject;
    r.audience = audience;
    return header(settings(), r);
  };
  EXPECT_THAT(line(Subject::delay, Audience::sender), HasSubstr("\nSubject: Delayed Mail (still being retried)\n"));
  EXPECT_THAT(line(Subject::success, Audience::sender), HasSubstr("\nSubject: Successful Mail Delivery Report\n"));
  EXPECT_THAT(line(Subject::requested, Audience::sender), HasSubstr("\nSubject: Mail Delivery Status Report\n"));
  EXPECT_THAT(line(Subject::delay, Audience::postmaster), HasSubstr("\nSubject: Postmaster Warning: Delayed Mail\n"));
  EXPECT_THAT(line(Subject::failure, Audience::postmaster),
              HasSubstr("\nSubject: Postmaster Copy: Undelivered Mail\n"));
  EXPECT_THAT(line(Subject::failure, Audience::postmaster), HasSubstr("\nAuto-Submitted: auto-generated\n"));
}

TEST_F(ReportText, EncodingFollowsTheMessageAndSmtputf8Enable) {
  struct Case {
    std::string encoding;
    bool utf8_enable;
    std::string expected;
    std::string charset;
  };
  for (const auto& c : {Case{"", false, "", "us-ascii"}, Case{"7bit", false, "7bit", "us-ascii"},
                        Case{"8bit", false, "8bit", "utf-8"}, Case{"7bit", true, "8bit", "utf-8"}}) {
    TextSettings s = settings();
    s.smtputf8_enable = c.utf8_enable;
    Report r = report();
    r.encoding = c.encoding;
    EXPECT_EQ(report_encoding(s, r), c.expected);
    const std::string part = explanation_part(s, r);
    EXPECT_THAT(part, HasSubstr("\nContent-Type: text/plain; charset=" + c.charset + "\n"));
    if (c.expected == "8bit") {
      EXPECT_THAT(part, HasSubstr("\nContent-Transfer-Encoding: 8bit\n"));
    } else {
      EXPECT_THAT(part, Not(HasSubstr("Content-Transfer-Encoding")));
    }
  }
}

TEST_F(ReportText, TheExplanationSaysWhoSpeaksAndHowLong) {
  Report r = report();
  EXPECT_THAT(explanation_part(settings(), r), HasSubstr("\n\nThis is the mail system at host mx.test.\n\n"));
  r.subject = Subject::delay;
  EXPECT_THAT(explanation_part(settings(), r), HasSubstr("more than 4 hour(s) to be delivered"));
  EXPECT_THAT(explanation_part(settings(), r), HasSubstr("until it is 5 day(s) old"));
}

TEST_F(ReportText, ATemplateGivesTextSubjectsAndSender) {
  TextSettings s = settings();
  s.templates = mail::built_in_report_templates();
  mail::ReportTemplate& failure = (*s.templates)[0];
  failure.charset = "iso-8859-1";
  failure.from = "Robot <r@example.org>";
  failure.subject = "Sorry";
  failure.postmaster_subject = "Sorry, postmaster";
  failure.text =
      "Gr\xfc\xdf"
      "e\n";
  Report r = report();
  EXPECT_THAT(header(s, r), HasSubstr("\nFrom: Robot <r@example.org>\nSubject: Sorry\n"));
  EXPECT_THAT(explanation_part(s, r), testing::EndsWith("Content-Type: text/plain; charset=iso-8859-1\n"
                                                        "Content-Transfer-Encoding: 8bit\n\nGr\xfc\xdf"
                                                        "e\n"));
  r.audience = Audience::postmaster;
  EXPECT_THAT(header(s, r), HasSubstr("\nSubject: Sorry, postmaster\n"));
  r.subject = Subject::delay;
  EXPECT_THAT(header(s, r), HasSubstr("\nSubject: Postmaster Warning: Delayed Mail\n"));
}

TEST_F(ReportText, PostmasterNeedsNoExplanation) {
  Report r = report();
  r.audience = Audience::postmaster;
  EXPECT_EQ(explanation_part(settings(), r) + recipient_paragraph(settings(), r, entry()),
            "\n--52E1711A871.1795353666/mx.test\nContent-Description: Notification\n"
            "Content-Type: text/plain; charset=us-ascii\n\n\n"
            "<bad1@remote.test>: host 127.0.0.1[127.0.0.1] said: 550 5.1.1 No such user (in\n"
            "    reply to RCPT TO command)\n");
}

TEST_F(ReportText, RecipientParagraphNamesTheAddressThatWasExpanded) {
  RecipientReport e = entry();
  e.recipient.original = "al@local.test";
  EXPECT_THAT(recipient_paragraph(settings(), report(), e),
              testing::StartsWith("\n<bad1@remote.test> (expanded from <al@local.test>): host 127.0.0.1[127.0.0.1]\n"
                                  "    said: 550"));
  // As it was given, without domain: not an expansion.
  e.recipient.original = "bad1";
  EXPECT_THAT(recipient_paragraph(settings(), report(), e), Not(HasSubstr("expanded")));
}

TEST_F(ReportText, StatusFields) {
  Report r = report();
  r.dsn_envid = "QQ+314159";
  EXPECT_EQ(status_part(settings(), r) + recipient_fields(settings(), r, entry()),
            "\n--52E1711A871.1795353666/mx.test\nContent-Description: Delivery report\n"
            "Content-Type: message/delivery-status\n\n"
            "Reporting-MTA: dns; mx.test\n"
            "Original-Envelope-Id: QQ+314159\n"
            "X-Postfix-Queue-ID: 52E1711A871\n"
            "X-Postfix-Sender: rfc822; s@remote.test\n"
            "Arrival-Date: Sun, 22 Nov 2026 13:20:00 +0000 (UTC)\n\n"
            "Final-Recipient: rfc822; bad1@remote.test\n"
            "Original-Recipient: rfc822;Orig+bad@elsewhere.test\n"
            "Action: failed\n"
            "Status: 5.1.1\n"
            "Remote-MTA: dns; 127.0.0.1\n"
            "Diagnostic-Code: smtp; 550 5.1.1 No such user\n");
}

TEST_F(ReportText, ActionsFollowTheReport) {
  RecipientReport e = entry();
  e.action = RecipientReport::Action::delayed;
  Report r = report();
  EXPECT_THAT(recipient_fields(settings(), r, e), HasSubstr("\nAction: failed\n"));
  r.subject = Subject::delay;
  EXPECT_THAT(recipient_fields(settings(), r, e), HasSubstr("\nAction: delayed\n"));
  EXPECT_THAT(recipient_fields(settings(), r, e),
              testing::EndsWith("\nWill-Retry-Until: Fri, 27 Nov 2026 13:20:00 +0000 (UTC)\n"));
  r.subject = Subject::requested;
  e.action = RecipientReport::Action::undeliverable;
  EXPECT_THAT(recipient_fields(settings(), r, e), HasSubstr("\nAction: undeliverable\n"));
}

TEST_F(ReportText, WithoutAPeersAnswerTheReasonIsTheDiagnostic) {
  RecipientReport e{.recipient = {.address = "u@err.test"}, .status = "5.7.99", .reason = "no thanks"};
  const std::string fields = recipient_fields(settings(), report(), e);
  EXPECT_THAT(fields, testing::EndsWith("\nStatus: 5.7.99\nDiagnostic-Code: X-Postfix; no thanks\n"));
  EXPECT_THAT(fields, Not(HasSubstr("Remote-MTA")));
}

TEST_F(ReportText, ValuesCannotAddFields) {
  RecipientReport e = entry();
  e.recipient.dsn_original = "rfc822;x\nAction: delivered";
  e.remote_mta = "h\nStatus: 2.0.0";
  e.diagnostic = "550 x\n\nFinal-Recipient: y";
  Report r = report();
  r.dsn_envid = "a\nb";
  const std::string all = status_part(settings(), r) + recipient_fields(settings(), r, e);
  EXPECT_THAT(all, Not(HasSubstr("\nAction: delivered")));
  EXPECT_THAT(all, Not(HasSubstr("\nStatus: 2.0.0")));
  EXPECT_THAT(all, Not(HasSubstr("\nFinal-Recipient: y")));
  EXPECT_THAT(all, HasSubstr("Original-Envelope-Id: a?b\n"));
}

TEST_F(ReportText, InternationalAddressesNeedAnInternationalReport) {
  RecipientReport e{.recipient = {.address = "badé@remote.test"}, .status = "5.1.1", .reason = "x"};
  Report r = report();
  r.smtputf8 = true;
  EXPECT_THAT(status_part(settings(), r), HasSubstr("\nContent-Type: message/global-delivery-status\n"
                                                    "Content-Transfer-Encoding: 8bit\n"));
  EXPECT_THAT(recipient_fields(settings(), r, e), HasSubstr("\nFinal-Recipient: utf-8; badé@remote.test\n"));
  EXPECT_THAT(returned_part(settings(), r), HasSubstr("\nContent-Type: message/global-headers\n"));
  r.returned = Returned::message;
  EXPECT_THAT(returned_part(settings(), r), HasSubstr("\nContent-Type: message/global\n"));
}

TEST_F(ReportText, ReturnedPart) {
  Report r = report();
  r.sender.clear();
  r.returned = Returned::message;
  EXPECT_EQ(returned_part(settings(), r),
            "\n--52E1711A871.1795353666/mx.test\nContent-Description: Undelivered Message\n"
            "Content-Type: message/rfc822\n\nReturn-Path: <MAILER-DAEMON@mx.test>\n");
  r.returned = Returned::headers;
  r.subject = Subject::success;
  EXPECT_THAT(returned_part(settings(), r), HasSubstr("Content-Description: Message Headers\n"
                                                      "Content-Type: text/rfc822-headers\n"));
  EXPECT_EQ(end(settings(), r), "\n--52E1711A871.1795353666/mx.test--\n");
}

TEST(Wrap, BreaksAtSpacesWithin79Octets) {
  EXPECT_EQ(wrap("short"), "short\n");
  EXPECT_EQ(wrap(""), "\n");
  const std::string word(79, 'x');
  EXPECT_EQ(wrap(word), word + "\n");
  EXPECT_EQ(wrap(word + " y"), word + "\n    y\n");
  EXPECT_EQ(wrap(word + word + " y"), word + word + "\n    y\n");
  EXPECT_EQ(wrap("a " + word), "a\n    " + word + "\n");
  std::string text = "start";
  for (int i = 0; i < 100; ++i) { text += " word"; }
  std::size_t longest = 0;
  std::string joined;
  for (const auto line : text::split(wrap(text), "\n")) {
    longest = std::max(longest, line.size());
    joined += (joined.empty() ? "" : " ") + std::string(text::trim(line));
  }
  EXPECT_LE(longest, 79U);
  EXPECT_EQ(joined, text);
}

}  // namespace
}  // namespace stagepost::bounce
