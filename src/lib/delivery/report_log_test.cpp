#include "delivery/report_log.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "queue/lock.hpp"

namespace stagepost::delivery {
namespace {

RecipientReport sample() {
  return {.recipient = {.address = "def1@remote.test",
                        .original = "alias@remote.test",
                        .dsn_original = "rfc822;def1@remote.test",
                        .notify = 12,
                        .offset = 997},
          .action = RecipientReport::Action::delayed,
          .status = "4.2.0",
          .reason = "host 127.0.0.1[127.0.0.1] said: 450 4.2.0 wait (in reply to RCPT TO command)",
          .remote_mta = "127.0.0.1",
          .diagnostic_type = "smtp",
          .diagnostic = "450 4.2.0 wait"};
}

// Written by Postfix 3.7.11, but for original_recipient.
constexpr std::string_view kSampleText =
    "\n<def1@remote.test>: host 127.0.0.1[127.0.0.1] said: 450 4.2.0 wait (in reply to RCPT TO command)\n"
    "recipient=def1@remote.test\n"
    "original_recipient=alias@remote.test\n"
    "offset=997\n"
    "dsn_orig_rcpt=rfc822;def1@remote.test\n"
    "notify_flags=12\n"
    "status=4.2.0\n"
    "action=delayed\n"
    "diag_type=smtp\n"
    "diag_text=450 4.2.0 wait\n"
    "mta_type=dns\n"
    "mta_mname=127.0.0.1\n"
    "reason=host 127.0.0.1[127.0.0.1] said: 450 4.2.0 wait (in reply to RCPT TO command)\n\n";

std::string encoded(const RecipientReport& report) {
  std::string out;
  ipc::Encoder encoder(out);
  report.fields(encoder);
  return out;
}

std::vector<RecipientReport> parse(std::string_view text) {
  std::vector<RecipientReport> entries;
  ReportLogParser parser;
  for (const auto line : text::split_exact(text, '\n')) {
    if (auto entry = parser.feed(line)) { entries.push_back(std::move(*entry)); }
  }
  if (auto entry = parser.finish()) { entries.push_back(std::move(*entry)); }
  return entries;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    if (::mkdtemp(path_.data()) == nullptr) { ADD_FAILURE() << "mkdtemp"; }
  }
  ~TemporaryDirectory() { static_cast<void>(std::system(("rm -r " + path_).c_str())); }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/report_log.XXXXXX";
};

TEST(ReportLog, WritesWhatPostfixWrites) { EXPECT_EQ(format_entry(sample(), ReadableLine::yes), kSampleText); }

TEST(ReportLog, TheReadableLineCanBeLeftOut) {
  const std::string text = format_entry(sample(), ReadableLine::no);
  EXPECT_TRUE(text.starts_with("\nrecipient=def1@remote.test\n")) << text;
}

TEST(ReportLog, LeavesOutWhatIsNotKnown) {
  RecipientReport report{.recipient = {.address = "a@b", .original = "a@b"}, .status = "5.1.1", .reason = "x"};
  EXPECT_EQ(format_entry(report, ReadableLine::yes),
            "\n<a@b>: x\nrecipient=a@b\nstatus=5.1.1\naction=failed\nreason=x\n\n");
}

TEST(ReportLog, AddressesAreQuotedInTheFile) {
  RecipientReport report{.recipient = {.address = "a b@c", .original = "x y@z"}, .status = "5.1.1", .reason = "x"};
  const std::string text = format_entry(report, ReadableLine::yes);
  EXPECT_TRUE(text.starts_with("\n<\"a b\"@c>: x\nrecipient=\"a b\"@c\noriginal_recipient=\"x y\"@z\n")) << text;
  const auto entries = parse(text + "<\"q r\"@s>: only readable\n\n");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(encoded(entries[0]), encoded(report));
  EXPECT_EQ(entries[1].recipient.address, "q r@s");
}

TEST(ReportLog, AValueCannotAddLines) {
  RecipientReport report = sample();
  report.reason = "x\nrecipient=evil@example\r\n\n<y>: z";
  const auto entries = parse(format_entry(report, ReadableLine::yes));
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].recipient.address, "def1@remote.test");
  EXPECT_EQ(entries[0].reason,
            "x?recipient=evil@example?"
            "?"
            "?<y>: z");
}

TEST(ReportLog, ReadsBackWhatItWrote) {
  for (const auto action :
       {RecipientReport::Action::failed, RecipientReport::Action::relayed, RecipientReport::Action::undeliverable}) {
    RecipientReport report = sample();
    report.action = action;
    const auto entries =
        parse(format_entry(report, ReadableLine::yes) + "\n\n" + format_entry(report, ReadableLine::no));
    ASSERT_EQ(entries.size(), 2U);
    EXPECT_EQ(encoded(entries[0]), encoded(report));
    EXPECT_EQ(encoded(entries[1]), encoded(report));
  }
}

TEST(ReportLog, DamageCostsTheDamagedEntryOnly) {
  const auto entries = parse(
      "garbage\n\nrecipient=\nstatus=5.0.0\n\n<only@readable>: "
      "text\n\n=\nrecipient=a@b\naction=dance\nnotify_flags=-1\n"
      "offset=x\nfuture=1");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].recipient.address, "only@readable");
  EXPECT_EQ(entries[0].reason, "text");
  EXPECT_EQ(entries[1].recipient.address, "a@b");
  EXPECT_EQ(entries[1].recipient.notify, 0U);
  EXPECT_EQ(entries[1].recipient.offset, 0);
}

TEST(ReportLog, FileAppendsAndReadsTwice) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("ID");
  ASSERT_FALSE(ReportLogReader::open(path));
  for (int i = 0; i < 500; ++i) {
    RecipientReport report = sample();
    report.recipient.offset = i + 1;
    ASSERT_TRUE(append_entry(path, report, ReadableLine::yes));
  }
  auto reader = ReportLogReader::open(path);
  ASSERT_TRUE(reader);
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < 500; ++i) {
      const auto entry = reader->next();
      ASSERT_TRUE(entry && *entry);
      EXPECT_EQ((*entry)->recipient.offset, i + 1);
    }
    const auto end = reader->next();
    ASSERT_TRUE(end);
    EXPECT_FALSE(*end);
    ASSERT_TRUE(reader->rewind());
  }
}

TEST(ReportLog, OverlongLinesAreCutAndTheNextEntryIsWhole) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("ID");
  std::ofstream(path) << "recipient=a@b\nreason=" << std::string(3 * kReportLineOctets, 'x')
                      << "\n\nrecipient=c@d\nreason=y";
  auto reader = ReportLogReader::open(path);
  ASSERT_TRUE(reader);
  const auto first = reader->next();
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->reason.size(), kReportLineOctets - std::string_view("reason=").size());
  const auto second = reader->next();
  ASSERT_TRUE(second && *second);
  EXPECT_EQ((*second)->recipient.address, "c@d");
  EXPECT_EQ((*second)->reason, "y");
}

TEST(ReportLog, OnlyWhatIsMissingIsAdded) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("ID");
  ASSERT_TRUE(append_entry(path, sample(), ReadableLine::yes));
  RecipientReport other = sample();
  other.recipient.address = "other one@example.com";
  for (int pass = 0; pass < 2; ++pass) {
    ASSERT_TRUE(append_missing_entries(path, {sample(), other}, ReadableLine::yes));
  }
  auto reader = ReportLogReader::open(path);
  EXPECT_EQ(reader->next().value()->recipient.address, sample().recipient.address);
  EXPECT_EQ(reader->next().value()->recipient.address, "other one@example.com");
  EXPECT_FALSE(reader->next().value());
}

TEST(ReportLog, ALockedFileIsLeftAlone) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("ID");
  ASSERT_TRUE(append_entry(path, sample(), ReadableLine::yes));
  auto reader = ReportLogReader::open(path);
  ASSERT_TRUE(reader);
  ASSERT_TRUE(queue::try_lock(reader->fd()));
  const auto appended = append_entry(path, sample(), ReadableLine::yes);
  ASSERT_FALSE(appended);
  EXPECT_TRUE(appended.error().is(std::errc::resource_unavailable_try_again));
}

}  // namespace
}  // namespace stagepost::delivery
