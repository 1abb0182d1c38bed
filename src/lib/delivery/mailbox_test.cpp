#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "delivery/mailbox_file.hpp"
#include "delivery/maildir.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::delivery {
namespace {

namespace fs = std::filesystem;

class Mailboxes : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stagepost-mailbox-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    queue::QueueDirectory queue(directory_ + "/queue", {});
    fs::create_directories(directory_ + "/queue/incoming");
    auto writer = queue::MessageWriter::create(queue, queue::QueueName::incoming, {});
    ASSERT_TRUE(writer);
    using queue::RecordType;
    writer->append(RecordType::size, queue::format_size({}));
    writer->append(RecordType::time, queue::format_time({1, 0}));
    writer->append(RecordType::sender, "joe@x.test");
    writer->append(RecordType::recipient, "ann@y.test");
    writer->append(RecordType::content_start, "");
    const auto content = writer->offset();
    writer->append(RecordType::line, "Subject: x");
    writer->append(RecordType::line, "");
    writer->append(RecordType::line, "From here");
    writer->append(RecordType::partial_line, "long ");
    writer->append(RecordType::line, "From line");
    writer->append(RecordType::extracted_start, "");
    writer->append(RecordType::end, "");
    ASSERT_TRUE(writer->patch_record(
        0, RecordType::size,
        queue::format_size({.message_size = 37, .content_offset = content, .recipient_count = 1})));
    ASSERT_TRUE(writer->commit(queue::CommitPolicy::none()));
    auto reader = queue::MessageReader::open(writer->path(), queue::MessageReader::Access::read);
    ASSERT_TRUE(reader);
    reader_.emplace(std::move(*reader));
    envelope_ = reader_->read_envelope().value();
  }
  void TearDown() override { fs::remove_all(directory_); }

  static std::string slurp(const fs::path& path) { return sys::read_file(path, 100'000).value(); }

  std::string directory_;
  std::optional<queue::MessageReader> reader_;
  queue::Envelope envelope_;
  Identity self_{::geteuid(), ::getegid()};
  CopyOptions options_{.prepend = {"Return-Path: <joe@x.test>"}};
};

TEST_F(Mailboxes, MaildirIsMadeAndHoldsTheWholeMessage) {
  const std::string maildir = directory_ + "/a/b";
  ASSERT_TRUE(deliver_to_maildir(maildir, self_, *reader_, envelope_, options_, {}));
  ASSERT_EQ(std::distance(fs::directory_iterator(maildir + "/new"), {}), 1);
  EXPECT_TRUE(fs::is_empty(maildir + "/tmp"));
  EXPECT_TRUE(fs::is_directory(maildir + "/cur"));
  EXPECT_EQ(slurp(fs::directory_iterator(maildir + "/new")->path()),
            "Return-Path: <joe@x.test>\nSubject: x\n\nFrom here\nlong From line\n");
}

TEST_F(Mailboxes, MaildirFailureLeavesNothing) {
  const std::string maildir = directory_ + "/m";
  const auto delivered = deliver_to_maildir(maildir, self_, *reader_, envelope_, options_, {.size_limit_bytes = 20});
  ASSERT_FALSE(delivered);
  EXPECT_TRUE(delivered.error().is(std::errc::file_too_large));
  EXPECT_TRUE(fs::is_empty(maildir + "/tmp"));
  EXPECT_TRUE(fs::is_empty(maildir + "/new"));
}

TEST_F(Mailboxes, MboxQuotesFromLinesAndEndsWithAnEmptyLine) {
  const std::string path = directory_ + "/mbox";
  options_.mbox = true;
  ASSERT_TRUE(deliver_to_mailbox(path, self_, *reader_, envelope_, options_, {}, {}));
  ASSERT_TRUE(deliver_to_mailbox(path, self_, *reader_, envelope_, options_, {}, {}));
  const std::string once = "Return-Path: <joe@x.test>\nSubject: x\n\n>From here\nlong From line\n\n";
  EXPECT_EQ(slurp(path), once + once);
  EXPECT_FALSE(fs::exists(path + ".lock"));
}

TEST_F(Mailboxes, MboxGetsItsOldLengthBackOnFailure) {
  const std::string path = directory_ + "/mbox";
  std::ofstream(path) << "old\n";
  const auto delivered = deliver_to_mailbox(path, self_, *reader_, envelope_, options_, {.size_limit_bytes = 30}, {});
  ASSERT_FALSE(delivered);
  EXPECT_EQ(slurp(path), "old\n");
}

TEST_F(Mailboxes, LockedMboxIsATemporaryFailure) {
  const std::string path = directory_ + "/mbox";
  const LockPolicy quick{.styles = {LockStyle::flock}, .attempts = 2, .delay = std::chrono::seconds(0)};
  std::ofstream(path).close();
  const auto other = sys::open(path, O_RDONLY);
  ASSERT_EQ(::flock(other->get(), LOCK_EX), 0);
  auto delivered = deliver_to_mailbox(path, self_, *reader_, envelope_, options_, {}, quick);
  ASSERT_FALSE(delivered);
  EXPECT_TRUE(delivered.error().is(std::errc::resource_unavailable_try_again));
  std::ofstream(path + ".lock").close();
  delivered = deliver_to_mailbox(path, self_, *reader_, envelope_, options_, {},
                                 {.styles = {LockStyle::dotlock}, .attempts = 1, .delay = std::chrono::seconds(0)});
  EXPECT_TRUE(delivered.error().is(std::errc::resource_unavailable_try_again));
}

TEST_F(Mailboxes, LinksAreRefused) {
  const std::string path = directory_ + "/mbox";
  std::ofstream(directory_ + "/target").close();
  fs::create_symlink(directory_ + "/target", path);
  EXPECT_FALSE(deliver_to_mailbox(path, self_, *reader_, envelope_, options_, {}, {}));
  fs::remove(path);
  fs::create_hard_link(directory_ + "/target", path);
  EXPECT_FALSE(deliver_to_mailbox(path, self_, *reader_, envelope_, options_, {}, {}));
}

TEST_F(Mailboxes, ADeviceIsForThoseWhoAskForAnyFile) {
  EXPECT_TRUE(deliver_to_mailbox("/dev/null", self_, *reader_, envelope_, options_, {}, {}, {.any_file = true}));
  EXPECT_FALSE(deliver_to_mailbox("/dev/null", self_, *reader_, envelope_, options_, {}, {.styles = {}}));
  EXPECT_FALSE(fs::exists("/dev/null.lock"));
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto nobody_reads = deliver_to_mailbox(fifo, self_, *reader_, envelope_, options_, {}, {}, {.any_file = true});
  EXPECT_FALSE(nobody_reads);
}

TEST_F(Mailboxes, RootHelpsOnlyInTheSystemsSpool) {
  if (::geteuid() != 0) { GTEST_SKIP() << "needs root"; }
  const Identity nobody{65534, 65534};
  fs::permissions(directory_, fs::perms(0755));
  const std::string path = directory_ + "/mbox";
  EXPECT_FALSE(deliver_to_mailbox(path, nobody, *reader_, envelope_, options_, {}, {}));
  EXPECT_FALSE(fs::exists(path));
  ASSERT_TRUE(deliver_to_mailbox(path, nobody, *reader_, envelope_, options_, {}, {}, {.system_spool = true}));
  EXPECT_EQ(sys::stat(path)->st_uid, nobody.uid);
  EXPECT_FALSE(fs::exists(path + ".lock"));
  // What is not the recipient's is left alone, and no lock of root's stays.
  std::ofstream(directory_ + "/other").close();
  fs::permissions(directory_ + "/other", fs::perms(0666));
  const auto other = deliver_to_mailbox(directory_ + "/other", nobody, *reader_, envelope_, options_, {}, {},
                                        {.system_spool = true, .own_file = true});
  ASSERT_FALSE(other);
  EXPECT_TRUE(other.error().is(std::errc::operation_not_permitted));
  EXPECT_FALSE(fs::exists(directory_ + "/other.lock"));
  fs::permissions(directory_ + "/other", fs::perms(0600));
  const auto closed = deliver_to_mailbox(directory_ + "/other", nobody, *reader_, envelope_, options_, {}, {},
                                         {.system_spool = true, .own_file = true});
  EXPECT_TRUE(closed.error().is(std::errc::operation_not_permitted));
}

TEST(DeliveryFields, OriginalOnlyWhenKnown) {
  EXPECT_EQ(delivery_fields("a b@x", "", "c@y"),
            (std::vector<std::string>{"Return-Path: <\"a b\"@x>", "Delivered-To: c@y"}));
  EXPECT_EQ(delivery_fields("", "o@y", "c@y").at(0), "Return-Path: <>");
  EXPECT_EQ(delivery_fields("", "o@y", "c@y").at(1), "X-Original-To: o@y");
}

TEST(LockStyles, ParsesListsAndRefusesUnknownWords) {
  EXPECT_EQ(parse_lock_styles("fcntl, dotlock").value(), (std::set{LockStyle::fcntl, LockStyle::dotlock}));
  EXPECT_FALSE(parse_lock_styles("magic"));
}

}  // namespace
}  // namespace stagepost::delivery
