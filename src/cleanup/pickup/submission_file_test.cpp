#include "cleanup/pickup/submission_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::pickup {
namespace {

using queue::RecordType;

unique_fd file_of(const std::string& bytes) {
  unique_fd fd(::memfd_create("submission", MFD_CLOEXEC));
  EXPECT_TRUE(sys::write_all(fd.get(), bytes));
  return fd;
}

std::string record(RecordType type, std::string_view data) {
  std::string out;
  queue::append_record(out, type, data);
  return out;
}

std::string envelope() {
  return record(RecordType::time, "1795352851 682715") + record(RecordType::attribute, "rewrite_context=local") +
         record(RecordType::attribute, "sasl_username=forged") + record(RecordType::full_name, "My Name") +
         record(RecordType::sender, "me@x") + record(RecordType::verp, "+=") +
         record(RecordType::attribute, "notify_flags=4") + record(RecordType::recipient, "a@b") +
         record(RecordType::recipient, "c@d");
}

std::string content() {
  return record(RecordType::content_start, "") + record(RecordType::line, "Subject: x") + record(RecordType::line, "") +
         record(RecordType::partial_line, "long ") + record(RecordType::line, "line") +
         record(RecordType::extracted_start, "") + record(RecordType::recipient, "e@f") + record(RecordType::end, "");
}

TEST(SubmissionFile, ReadsEnvelopeContentAndExtractedRecipients) {
  const auto fd = file_of(envelope() + content());
  SubmissionFile file(fd.get(), "test", Origin::user);
  const auto submission = file.read_envelope();
  ASSERT_TRUE(submission) << submission.error().message();
  EXPECT_EQ(submission->sender, "me@x");
  EXPECT_EQ(submission->full_name, "My Name");
  EXPECT_EQ(submission->arrival.seconds, 1795352851);
  EXPECT_EQ(submission->verp_delimiters, "+=");
  ASSERT_EQ(submission->recipients.size(), 2U);
  EXPECT_EQ(submission->recipients[0].notify, 4U);
  EXPECT_EQ(submission->recipients[1].notify, 0U);
  EXPECT_EQ(submission->attributes, (std::vector<clients::Attribute>{{"rewrite_context", "local"}}));
  EXPECT_EQ(file.read_content().value(), "Subject: x\n\nlong line\n");
  EXPECT_EQ(file.read_content().value(), "");
  EXPECT_EQ(file.read_extracted()->at(0).address, "e@f");
}

TEST(SubmissionFile, ARequeuedFileKeepsItsAttributesAndItsDoneRecipientsStayDone) {
  const auto fd =
      file_of(record(RecordType::size, std::string(95, ' ')) + record(RecordType::attribute, "log_ident=ABC123") +
              envelope() + record(RecordType::done_recipient, "done@b") + content());
  SubmissionFile file(fd.get(), "test", Origin::requeued);
  const auto submission = file.read_envelope();
  ASSERT_TRUE(submission) << submission.error().message();
  EXPECT_EQ(submission->original_id, "ABC123");
  EXPECT_EQ(submission->attributes,
            (std::vector<clients::Attribute>{{"rewrite_context", "local"}, {"sasl_username", "forged"}}));
  EXPECT_EQ(submission->recipients.size(), 2U);
}

TEST(SubmissionFile, EveryTruncationIsDamage) {
  const std::string whole = envelope() + content();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto fd = file_of(whole.substr(0, size));
    SubmissionFile file(fd.get(), "test", Origin::user);
    const auto submission = file.read_envelope();
    if (!submission) {
      EXPECT_TRUE(queue::is_damage(submission.error())) << size;
      continue;
    }
    auto bytes = file.read_content();
    if (!bytes) { continue; }
    EXPECT_FALSE(file.read_extracted()) << size;
  }
}

TEST(SubmissionFile, ForeignRecordsAreDamage) {
  for (const std::string& bad :
       {record(RecordType::pointer, "              0"), record(RecordType::done_recipient, "a@b"),
        record(RecordType::recipient, ""), record(RecordType::filter, "smtp:x"), record(RecordType::attribute, "x")}) {
    const auto fd = file_of(envelope() + bad + content());
    SubmissionFile file(fd.get(), "test", Origin::user);
    EXPECT_FALSE(file.read_envelope());
  }
}

}  // namespace
}  // namespace stagepost::pickup
