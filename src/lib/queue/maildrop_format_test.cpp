#include "queue/maildrop_format.hpp"

#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::queue {
namespace {

using Verdict = SubmissionCheck::Verdict;

// Everything behind the time record of a file that Postfix's sendmail made.
std::string fixture(const std::string& name) {
  auto bytes = sys::read_file(std::string(SP_FIXTURES) + "/queue/" + name, 100'000);
  EXPECT_TRUE(bytes);
  const auto time = parse_record(*bytes);
  EXPECT_TRUE(time);
  return bytes->substr(time->octets);
}

Verdict check_all(std::string_view bytes, SubmissionCheck& check) {
  Verdict verdict = Verdict::keep;
  while (!bytes.empty() && verdict != Verdict::refuse) {
    const auto parsed = parse_record(bytes);
    if (!parsed) { return Verdict::refuse; }
    verdict = check.check(parsed->record);
    bytes.remove_prefix(parsed->octets);
  }
  return verdict;
}

TEST(Submission, IsByteForByteWhatPostfixWrites) {
  std::string ours = format_submission_envelope(
      {.full_name = "root", .sender = "me@a.example", .recipients = {"no1@x.example", "ok1@x.example"}});
  for (const char* line : {"Subject: a", "", "body"}) { append_content_line(ours, line, 2048); }
  EXPECT_EQ(ours + format_submission_end({}, 0), fixture("maildrop"));

  ours = format_submission_envelope(
      {.dsn_envid = "env+x", .dsn_ret = kRetHeaders, .full_name = "Full Name", .sender = "root", .encoding = "8bit"});
  for (const char* line :
       {"Subject: b", "From: x@a.example", "To: no5@x.example", "Bcc: no6@x.example", "", "body caf\xc3\xa9"}) {
    append_content_line(ours, line, 2048);
  }
  append_content_line(ours, "last line without newline", 2048, false);
  append_content_line(ours, "", 2048);
  EXPECT_EQ(ours + format_submission_end({"no5@x.example", "no6@x.example"}, kNotifySuccess | kNotifyFailure),
            fixture("maildrop-dsn"));
}

TEST(Submission, LinesAreCutAtTheLimit) {
  const auto shape = [](std::string_view line, bool ended) {
    std::string out;
    append_content_line(out, line, 4, ended);
    std::string types;
    for (std::string_view rest = out; !rest.empty();) {
      const auto parsed = parse_record(rest);
      EXPECT_LE(parsed->record.data.size(), 4U);
      types += static_cast<char>(parsed->record.type) + std::to_string(parsed->record.data.size());
      rest.remove_prefix(parsed->octets);
    }
    return types;
  };
  EXPECT_EQ(shape("", true), "N0");
  EXPECT_EQ(shape("abc", true), "N3");
  EXPECT_EQ(shape("abcd", true), "L4N0");  // As Postfix does.
  EXPECT_EQ(shape("abcdefghi", true), "L4L4N1");
  EXPECT_EQ(shape("abc", false), "L3");
  EXPECT_EQ(shape("abcd", false), "L4");
}

TEST(SubmissionCheck, AcceptsWhatPostfixWritesAndNothingBehindTheEnd) {
  for (const char* name : {"maildrop", "maildrop-dsn"}) {
    SubmissionCheck check;
    EXPECT_EQ(check_all(fixture(name), check), Verdict::finish) << check.reason();
    EXPECT_EQ(check.recipients(), 2U);
    EXPECT_EQ(check.check({RecordType::line, ""}), Verdict::refuse);
  }
}

TEST(SubmissionCheck, RefusesAndDropsWhatAUserMayNotSend) {
  SubmissionCheck check;
  EXPECT_EQ(check.check({RecordType::size, "1"}), Verdict::drop);
  EXPECT_EQ(check.check({RecordType::filter, "smtp:evil"}), Verdict::drop);
  EXPECT_EQ(check.check({RecordType::attribute, "log_client_name=trusted"}), Verdict::drop);
  EXPECT_EQ(check.check({RecordType::attribute, "encoding=8bit"}), Verdict::keep);
  EXPECT_EQ(SubmissionCheck(check).check({RecordType::attribute, "novalue"}), Verdict::refuse);
  EXPECT_EQ(SubmissionCheck(check).check({RecordType::pointer, "0"}), Verdict::refuse);
  EXPECT_EQ(SubmissionCheck(check).check({RecordType::content_start, ""}), Verdict::refuse);  // No sender.
  EXPECT_EQ(SubmissionCheck(check).check({RecordType::recipient, "a\nb"}), Verdict::refuse);
  EXPECT_EQ(check.check({RecordType::sender, "s"}), Verdict::keep);
  EXPECT_EQ(SubmissionCheck(check).check({RecordType::sender, "t"}), Verdict::refuse);
  EXPECT_EQ(check.check({RecordType::content_start, ""}), Verdict::keep);
  EXPECT_EQ(SubmissionCheck(check).check({RecordType::recipient, "r"}), Verdict::refuse);
  EXPECT_EQ(check.check({RecordType::line, std::string_view("a\0b", 3)}), Verdict::keep);
  EXPECT_EQ(check.check({RecordType::extracted_start, ""}), Verdict::keep);
  EXPECT_EQ(check.check({RecordType::end, ""}), Verdict::refuse);  // No recipients.
}

}  // namespace
}  // namespace stagepost::queue
