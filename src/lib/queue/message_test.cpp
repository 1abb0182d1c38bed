// Writer and reader together, and the reader on files that Postfix 3.7 wrote (tests/fixtures/queue).
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "queue/attribute_names.hpp"
#include "queue/error.hpp"
#include "queue/lock.hpp"
#include "queue/message_reader.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::queue {
namespace {

std::string fixture(const std::string& name) { return std::string(SP_FIXTURES) + "/queue/" + name; }

std::vector<Recipient> all_recipients(MessageReader& reader, std::size_t window) {
  std::vector<Recipient> out;
  std::optional<std::int64_t> offset = 0;
  while (offset) {
    auto got = reader.read_recipients(*offset, window);
    EXPECT_TRUE(got) << got.error().message();
    if (!got) { break; }
    EXPECT_LE(got->recipients.size(), window);
    std::ranges::move(got->recipients, std::back_inserter(out));
    offset = got->next_offset;
  }
  return out;
}

std::string content(MessageReader& reader, const Envelope& envelope) {
  std::string out;
  EXPECT_TRUE(reader.rewind_content(envelope));
  for (;;) {
    const auto more = reader.read_content(out, 10);
    EXPECT_TRUE(more) << more.error().message();
    if (!more || !*more) { return out; }
  }
}

struct Fixture {
  std::string name;
  std::string sender;
  std::vector<std::string> recipients;
  std::string subject;
};

TEST(MessageReader, ReadsFilesOfPostfix) {
  const std::vector<Fixture> fixtures{
      {"mixed", "s@a.example", {"no1@x.example", "no2@y.example", "archive@box.example"}, "one"},
      {"dsn", "s@a.example", {"no+x@x.example", "archive@box.example"}, "dsn"},
      {"utf8", "jos\u00e9@a.example", {"n\u00f6@x.example", "archive@box.example"}, "utf\u00e9"},
      {"long", "", {"no9@x.example", "archive@box.example"}, "long"},
      {"milter-idle", "s@a.example", {"no1@x.example", "no2@y.example", "archive@box.example"}, "one"},
      {"milter-recipients",
       "s@a.example",
       {"no2@y.example", "new1@x.example", "new2@x.example", "archive@box.example"},
       "one"},
      {"milter-all",
       "other-sender@b.example",
       {"no2@y.example", "new1@x.example", "new2@x.example", "archive@box.example"},
       "a new and much longer subject for this mail"},
      {"maildrop", "me@a.example", {"no1@x.example", "ok1@x.example"}, "a"},
      {"maildrop-dsn", "root", {"no5@x.example", "no6@x.example"}, "b"},
  };
  for (const auto& expected : fixtures) {
    SCOPED_TRACE(expected.name);
    auto reader = MessageReader::open(fixture(expected.name), MessageReader::Access::read);
    ASSERT_TRUE(reader) << reader.error().message();
    const auto envelope = reader->read_envelope();
    ASSERT_TRUE(envelope) << envelope.error().message();
    EXPECT_TRUE(envelope->has_sender);
    EXPECT_EQ(envelope->has_size, !std::string_view(expected.name).starts_with("maildrop"));
    EXPECT_EQ(envelope->sender, expected.sender);
    for (const std::size_t window : {1U, 2U, 100U}) {
      std::vector<std::string> addresses;
      for (const auto& recipient : all_recipients(*reader, window)) { addresses.push_back(recipient.address); }
      EXPECT_EQ(addresses, expected.recipients);
    }
    EXPECT_NE(content(*reader, *envelope).find("Subject: " + expected.subject + "\n"), std::string::npos);
    EXPECT_EQ(content(*reader, *envelope), content(*reader, *envelope));
  }
}

TEST(MessageReader, GivesEveryEnvelopeValueOfAPostfixFile) {
  auto reader = MessageReader::open(fixture("dsn"), MessageReader::Access::read);
  ASSERT_TRUE(reader);
  const auto envelope = reader->read_envelope();
  ASSERT_TRUE(envelope);
  EXPECT_EQ(envelope->dsn_envid, "abc+d");
  EXPECT_EQ(envelope->dsn_ret, kRetHeaders);
  EXPECT_EQ(envelope->encoding, "8bit");
  EXPECT_EQ(envelope->rewrite_context, "local");
  EXPECT_EQ(envelope->size.recipient_count, 2);
  EXPECT_EQ(envelope->size.flags, (kNotifySuccess | kNotifyDelay) << kFlagNotifyShift);
  EXPECT_GT(envelope->arrival.seconds, 1'700'000'000);
  EXPECT_EQ(envelope->create_time, envelope->arrival.seconds);
  EXPECT_EQ(envelope->warn_time, envelope->arrival.seconds + 3600);
  EXPECT_EQ(envelope->attribute(attr::log_helo_name), "client.example");
  EXPECT_EQ(envelope->attribute("nosuch"), "");
  const auto recipients = all_recipients(*reader, 10);
  ASSERT_EQ(recipients.size(), 2U);
  EXPECT_EQ(recipients[0].original, "no+x@x.example");
  EXPECT_EQ(recipients[0].dsn_original, "rfc822;orig+x@x.example");
  EXPECT_EQ(recipients[0].notify, kNotifySuccess | kNotifyDelay);
  EXPECT_EQ(recipients[1].dsn_original, "");
  EXPECT_EQ(recipients[1].notify, kNotifyNever);
}

TEST(MessageReader, JoinsLongLines) {
  auto reader = MessageReader::open(fixture("long"), MessageReader::Access::read);
  ASSERT_TRUE(reader);
  const auto envelope = reader->read_envelope();
  ASSERT_TRUE(envelope);
  const std::string expected =
      "\n\n" + std::string(5000, 'x') + '\n' + std::string(2048, 'y') + '\n' + std::string(2049, 'z') + "\n\n.dot\n";
  EXPECT_TRUE(content(*reader, *envelope).ends_with(expected));
}

class MessageTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "messageXXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    ASSERT_TRUE(directory().create_all({::getuid(), ::getgid(), ::getgid()}));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  [[nodiscard]] QueueDirectory directory() const { return {root_, Hashing{}}; }
  [[nodiscard]] std::size_t files_in(QueueName queue) const {
    return sys::list_directory(directory().path(queue))->size();
  }

  // A small message with two recipients; the caller commits it.
  MessageWriter write_message(const MessageWriter::Options& options = {}) {
    auto writer = MessageWriter::create(directory(), QueueName::incoming, options);
    EXPECT_TRUE(writer) << writer.error().message();
    writer->append(RecordType::size, format_size({}));
    writer->append(RecordType::time, format_time(writer->created()));
    writer->append_attribute(attr::rewrite_context, "remote");
    writer->append(RecordType::sender, "s@example.com");
    for (const char* recipient : {"a@example.com", "b@example.com"}) {
      writer->append_attribute(attr::dsn_original_recipient, std::string("rfc822;") + recipient);
      writer->append(RecordType::original_recipient, recipient);
      writer->append(RecordType::recipient, recipient);
    }
    writer->append(RecordType::content_start, "");
    SizeRecord size{.content_offset = writer->offset(), .recipient_count = 2};
    writer->append(RecordType::line, "Subject: test");
    writer->append(RecordType::line, "");
    writer->append(RecordType::partial_line, "half");
    writer->append(RecordType::line, " and half");
    size.message_size = size.content_length = writer->offset() - size.content_offset;
    writer->append(RecordType::extracted_start, "");
    writer->append(RecordType::end, "");
    EXPECT_TRUE(writer->patch_record(0, RecordType::size, format_size(size)));
    return *std::move(writer);
  }
  MessageReader open(const std::string& path) {
    auto reader = MessageReader::open(path, MessageReader::Access::update);
    EXPECT_TRUE(reader) << reader.error().message();
    return *std::move(reader);
  }
  std::string root_;
};

TEST_F(MessageTest, WhatIsWrittenIsReadBack) {
  for (const std::size_t buffer : {1U, 100U, 65536U}) {  // With a small buffer the size is patched on disk.
    auto writer = write_message({.buffer_octets = buffer});
    EXPECT_EQ(sys::stat(writer.path())->st_mode & 07777U, 0600U);
    ASSERT_TRUE(writer.commit(CommitPolicy::fsync_each()));
    EXPECT_EQ(sys::stat(writer.path())->st_mode & 07777U, 0700U);
    EXPECT_EQ(writer.path(), directory().path(QueueName::incoming, writer.id()));
    EXPECT_EQ(sys::stat(writer.path())->st_ino, writer.id().inode());

    auto reader = open(writer.path());
    const auto envelope = reader.read_envelope();
    ASSERT_TRUE(envelope) << envelope.error().message();
    EXPECT_EQ(envelope->sender, "s@example.com");
    EXPECT_EQ(envelope->size.recipient_count, 2);
    EXPECT_EQ(envelope->arrival, writer.created());
    EXPECT_EQ(content(reader, *envelope), "Subject: test\n\nhalf and half\n");
  }
  EXPECT_EQ(files_in(QueueName::incoming), 3U);
}

TEST_F(MessageTest, AFileFromTheNurseryHasOnlyItsNameInTheQueue) {
  Nursery nursery(root_);
  auto writer = write_message({.nursery = &nursery});
  ASSERT_TRUE(writer.commit(CommitPolicy::none()));
  EXPECT_EQ(writer.path(), directory().path(QueueName::incoming, writer.id()));
  EXPECT_EQ(sys::stat(writer.path())->st_nlink, 1U);
  for (const std::string& name : nursery.directories()) {
    EXPECT_TRUE(std::filesystem::is_empty(name)) << name;
    std::filesystem::remove(name);
  }
  auto another = write_message({.nursery = &nursery});  // A spool without these directories serves as well.
  ASSERT_TRUE(another.commit(CommitPolicy::none()));
  EXPECT_EQ(files_in(QueueName::incoming), 2U);
}

TEST_F(MessageTest, LongIdsAreNamesOfTheirInodeToo) {
  auto writer = write_message({.id_style = IdStyle::long_form});
  ASSERT_TRUE(writer.commit(CommitPolicy::none()));
  EXPECT_TRUE(writer.id().is_long());
  EXPECT_EQ(sys::stat(writer.path())->st_ino, writer.id().inode());
}

TEST_F(MessageTest, AnAbandonedMessageLeavesNoFile) {
  {
    auto writer = write_message();
    auto moved = std::move(writer);
    EXPECT_EQ(files_in(QueueName::incoming), 1U);
  }
  EXPECT_EQ(files_in(QueueName::incoming), 0U);
  auto writer = write_message();
  auto job = writer.prepare_commit(CommitPolicy::fsync_each());
  ASSERT_TRUE(job);
  writer.discard();
  EXPECT_EQ(files_in(QueueName::incoming), 0U);
}

TEST_F(MessageTest, AFullDiskIsReportedAtFlushAndAtCommit) {
  auto writer = write_message();
  // A file size limit gives EFBIG, which takes the same way as ENOSPC.
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  writer.append(RecordType::line, std::string(100'000, 'x'));
  const bool failed = writer.failed();
  const auto flushed = writer.flush();
  const auto committed = writer.commit(CommitPolicy::none());
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, handler);
  EXPECT_TRUE(failed);
  ASSERT_FALSE(flushed);
  EXPECT_TRUE(flushed.error().is(std::errc::file_too_large)) << flushed.error().message();
  EXPECT_FALSE(committed);
  EXPECT_EQ(sys::stat(writer.path())->st_mode & 0111U, 0U);
  writer.discard();
  EXPECT_EQ(files_in(QueueName::incoming), 0U);
}

TEST_F(MessageTest, DoneRecipientsAreNotReadAgain) {
  auto writer = write_message();
  ASSERT_TRUE(writer.commit(CommitPolicy::none()));
  auto reader = open(writer.path());
  const auto before = all_recipients(reader, 1);
  ASSERT_EQ(before.size(), 2U);
  ASSERT_TRUE(reader.mark_done(before[0].offset));
  ASSERT_TRUE(reader.mark_done(before[0].offset));
  const auto after = all_recipients(reader, 10);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].address, "b@example.com");
  EXPECT_EQ(after[0].dsn_original, "rfc822;b@example.com");
  const auto wrong = reader.mark_done(0);
  ASSERT_FALSE(wrong);
  EXPECT_TRUE(is_damage(wrong.error()));
  EXPECT_FALSE(reader.mark_done(1'000'000));
}

TEST_F(MessageTest, PointersLetAMilterReplaceAndAddRecords) {
  auto writer = MessageWriter::create(directory(), QueueName::incoming, {});
  ASSERT_TRUE(writer);
  writer->append(RecordType::size, format_size({}));
  writer->append(RecordType::time, format_time(writer->created()));
  writer->append(RecordType::sender, "s@example.com");
  writer->append(RecordType::recipient, "gone@example.com");
  const auto recipient_end = writer->offset();
  writer->append(RecordType::pointer, format_pointer(0));
  const auto content_start = writer->offset();
  writer->append(RecordType::content_start, "");
  writer->append(RecordType::line, "body");
  writer->append(RecordType::extracted_start, "");
  writer->append(RecordType::end, "");
  const auto added = writer->offset();
  writer->append(RecordType::recipient, "added@example.com");
  writer->append(RecordType::pointer, format_pointer(content_start));
  ASSERT_TRUE(writer->patch_record(recipient_end, RecordType::pointer, format_pointer(added)));
  ASSERT_TRUE(writer->patch_type(recipient_end - static_cast<std::int64_t>(record_octets(16)),
                                 RecordType::cancelled_recipient));
  ASSERT_TRUE(writer->commit(CommitPolicy::none()));
  auto reader = open(writer->path());
  const auto recipients = all_recipients(reader, 1);
  ASSERT_EQ(recipients.size(), 1U);
  EXPECT_EQ(recipients[0].address, "added@example.com");
  const auto envelope = reader.read_envelope();
  ASSERT_TRUE(envelope);
  EXPECT_EQ(content(reader, *envelope), "body\n");
}

TEST_F(MessageTest, ALoopOfPointersIsDamageNotAHang) {
  auto writer = MessageWriter::create(directory(), QueueName::incoming, {});
  ASSERT_TRUE(writer);
  writer->append(RecordType::sender, "s@example.com");
  writer->append(RecordType::recipient, "r@example.com");
  writer->append(RecordType::pointer, format_pointer(15));
  ASSERT_TRUE(writer->commit(CommitPolicy::none()));
  auto reader = open(writer->path());
  const auto envelope = reader.read_envelope();
  ASSERT_FALSE(envelope);
  EXPECT_EQ(envelope.error().code, make_error_code(QueueErrc::bad_pointer));
  EXPECT_TRUE(is_damage(envelope.error()));
  EXPECT_FALSE(reader.read_recipients(0, 1'000'000));
}

TEST_F(MessageTest, EveryCutFileIsTruncatedAndNeverAMessage) {
  auto writer = write_message();
  ASSERT_TRUE(writer.commit(CommitPolicy::none()));
  const auto bytes = sys::read_file(writer.path(), 10'000);
  ASSERT_TRUE(bytes);
  for (std::size_t length = 0; length < bytes->size(); ++length) {
    const std::string path = root_ + "/cut";
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes->substr(0, length);
    auto reader = open(path);
    const auto envelope = reader.read_envelope();
    ASSERT_FALSE(envelope) << length;
    EXPECT_EQ(envelope.error().code, make_error_code(QueueErrc::truncated)) << length;
  }
}

// The envelope is read past the content by the size record, so that only who reads the content finds this.
TEST_F(MessageTest, DamageWithinTheContentIsRemembered) {
  auto writer = write_message();
  ASSERT_TRUE(writer.commit(CommitPolicy::none()));
  auto reader = open(writer.path());
  auto envelope = reader.read_envelope();
  ASSERT_TRUE(envelope);
  static_cast<void>(content(reader, *envelope));
  EXPECT_FALSE(reader.content_damaged());
  ASSERT_TRUE(sys::pwrite_all(reader.fd(), "N\xff\xff\xff\xff\x7f", envelope->size.content_offset));
  auto again = open(writer.path());
  envelope = again.read_envelope();
  ASSERT_TRUE(envelope);
  ASSERT_TRUE(again.rewind_content(*envelope));
  std::string text;
  EXPECT_FALSE(again.read_content(text, 1'000'000));
  EXPECT_TRUE(again.content_damaged());
}

TEST_F(MessageTest, LimitsOnTheEnvelopeHold) {
  auto writer = write_message();
  ASSERT_TRUE(writer.commit(CommitPolicy::none()));
  const auto read_with = [&](MessageReader::Limits limits) {
    return MessageReader::open(writer.path(), MessageReader::Access::read, limits)->read_envelope();
  };
  EXPECT_TRUE(read_with({.attributes = 1}));
  EXPECT_EQ(read_with({.attributes = 0}).error().code, make_error_code(QueueErrc::too_many));
  EXPECT_EQ(read_with({.envelope_octets = 50}).error().code, make_error_code(QueueErrc::too_many));
  EXPECT_EQ(read_with({.record_octets = 94}).error().code, make_error_code(QueueErrc::bad_length));
}

// A writer that put recipients where no reader looks for them would lose their mail.
TEST_F(MessageTest, ADifferentNumberOfRecipientsIsDamage) {
  auto writer = write_message();
  ASSERT_TRUE(writer.flush());
  SizeRecord size = open(writer.path()).read_envelope()->size;
  ++size.recipient_count;
  ASSERT_TRUE(writer.patch_record(0, RecordType::size, format_size(size)));
  ASSERT_TRUE(writer.flush());
  auto reader = open(writer.path());
  const auto envelope = reader.read_envelope();
  ASSERT_FALSE(envelope);
  EXPECT_TRUE(is_damage(envelope.error()));
}

TEST_F(MessageTest, TheDelayWarningIsNotedInPlace) {
  const std::string path = root_ + "/warn";
  std::filesystem::copy_file(fixture("dsn"), path);
  auto reader = open(path);
  const auto before = reader.read_envelope();
  ASSERT_TRUE(before);
  ASSERT_TRUE(reader.mark_warning_sent(*before));
  EXPECT_EQ(reader.read_envelope()->warn_time, kWarningSent);
}

TEST_F(MessageTest, OnlyRegularFilesAreOpened) {
  const std::string fifo = root_ + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto reader = MessageReader::open(fifo, MessageReader::Access::read);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, make_error_code(QueueErrc::not_a_queue_file));
  ASSERT_EQ(::symlink("/etc/passwd", (root_ + "/link").c_str()), 0);
  EXPECT_FALSE(MessageReader::open(root_ + "/link", MessageReader::Access::read));
}

TEST_F(MessageTest, AnAgentsSharedLockKeepsOutAnExclusiveOne) {
  auto writer = write_message();
  ASSERT_TRUE(writer.commit(CommitPolicy::none()));
  auto first = open(writer.path());
  auto second = open(writer.path());
  ASSERT_TRUE(try_lock_shared(first.fd()));
  EXPECT_TRUE(try_lock_shared(second.fd()));
  const auto exclusive = try_lock(second.fd());
  ASSERT_FALSE(exclusive);
  EXPECT_TRUE(exclusive.error().is(std::errc::resource_unavailable_try_again));
  ASSERT_TRUE(unlock(first.fd()));
  EXPECT_TRUE(try_lock(second.fd()));
}

}  // namespace
}  // namespace stagepost::queue
