#include "delivery/queue_lister.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "queue/message_writer.hpp"

namespace stagepost::delivery {
namespace {

using queue::QueueName;
using queue::RecordType;

class Recorder final : public clients::ListingSink {
 public:
  void on_message(const clients::ListedMessage& m) override {
    messages.push_back(m);
    recipients.emplace_back();
  }
  void on_recipient(const clients::ListedRecipient& r) override {
    recipients.back() += "<" + r.address + ">" + r.reason;
    ++count;
  }
  void on_message_end() override { ++ended; }
  std::vector<clients::ListedMessage> messages;
  std::vector<std::string> recipients;
  std::size_t ended = 0;
  std::size_t count = 0;
};

class QueueListerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    directory_ = queue::QueueDirectory(root_, queue::Hashing{});
    ASSERT_TRUE(directory_.create_all({::getuid(), ::getgid(), ::getgid()}));
  }
  void TearDown() override { static_cast<void>(std::system(("rm -r " + root_).c_str())); }

  /// A complete file with `recipients`; the ones that begin with '-' are done. Returns the ID; offsets in offsets_.
  std::string put(QueueName queue, const std::string& sender, const std::vector<std::string>& recipients) {
    auto writer = queue::MessageWriter::create(directory_, QueueName::incoming, {});
    EXPECT_TRUE(writer);
    queue::SizeRecord size{.recipient_count = std::ssize(recipients)};
    writer->append(RecordType::size, queue::format_size(size));
    writer->append(RecordType::time, queue::format_time({1795354665, 0}));
    writer->append(RecordType::sender, sender);
    offsets_.clear();
    for (const auto& recipient : recipients) {
      offsets_.push_back(writer->offset());
      const bool done = recipient.starts_with('-');
      writer->append(done ? RecordType::done_recipient : RecordType::recipient, recipient.substr(done ? 1 : 0));
    }
    writer->append(RecordType::content_start, "");
    size.content_offset = writer->offset();
    writer->append(RecordType::line, "Subject: x");
    size.message_size = writer->offset() - size.content_offset;
    writer->append(RecordType::extracted_start, "");
    writer->append(RecordType::end, "");
    EXPECT_TRUE(writer->patch_record(0, RecordType::size, queue::format_size(size)));
    EXPECT_TRUE(writer->commit(queue::CommitPolicy::none()));
    if (queue != QueueName::incoming) { EXPECT_TRUE(directory_.move(writer->id(), QueueName::incoming, queue)); }
    return writer->id().str();
  }

  void log(const std::string& id, const std::string& address, std::int64_t offset, const std::string& reason) {
    const auto parsed = queue::QueueId::parse(id);
    ASSERT_TRUE(directory_.make_hash_path(QueueName::defer, *parsed));
    ASSERT_TRUE(append_entry(directory_.path(QueueName::defer, *parsed),
                             {.recipient = {.address = address, .offset = offset}, .status = "4.0.0", .reason = reason},
                             ReadableLine::yes));
  }

  Recorder walk(ListingMemory* memory = nullptr) {
    Recorder recorder;
    clients::ShowqParser parser(recorder);
    clients::ShowqWriter writer;
    QueueLister lister(directory_, memory);
    for (;;) {
      const auto more = lister.step(writer);
      EXPECT_TRUE(more);
      if (!more || !*more) { break; }
    }
    writer.finish();
    EXPECT_TRUE(parser.feed(writer.buffer()));
    EXPECT_TRUE(parser.finished());
    EXPECT_EQ(recorder.ended, recorder.messages.size());
    return recorder;
  }

  std::string root_ = "/tmp/queue_lister.XXXXXX";
  queue::QueueDirectory directory_{"", queue::Hashing{}};
  std::vector<std::int64_t> offsets_;
};

TEST_F(QueueListerTest, AnEmptyQueueHasNoMessages) { EXPECT_TRUE(walk().messages.empty()); }

TEST_F(QueueListerTest, ReasonsFirstThenThoseNotTriedAndNobodyTwice) {
  const auto id = put(QueueName::deferred, "a b@c", {"-done@x", "r1@x", "r2@x", "r1@x"});
  log(id, "r2@x", offsets_[2], "because");
  const Recorder found = walk();
  ASSERT_EQ(found.messages.size(), 1U);
  EXPECT_EQ(found.messages[0].queue_name, "deferred");
  EXPECT_EQ(found.messages[0].queue_id, id);
  EXPECT_EQ(found.messages[0].arrival_time, 1795354665);
  EXPECT_EQ(found.messages[0].size_bytes, 12);
  EXPECT_EQ(found.messages[0].sender, "\"a b\"@c");
  EXPECT_FALSE(found.messages[0].forced_expire);
  EXPECT_EQ(found.recipients[0], "<r2@x>because<r1@x><r1@x>");
}

TEST_F(QueueListerTest, QueuesInTheirOrderWithTheirMarks) {
  const auto held = put(QueueName::hold, "", {"r@x"});
  put(QueueName::deferred, "s@x", {"r@x"});
  put(QueueName::active, "s@x", {"r@x"});
  put(QueueName::incoming, "s@x", {"r@x"});
  ASSERT_EQ(::chmod((root_ + "/hold/" + held).c_str(), 0710), 0);
  const Recorder found = walk();
  std::string order;
  for (const auto& message : found.messages) { order += message.queue_name + " "; }
  EXPECT_EQ(order, "active incoming deferred hold ");
  EXPECT_EQ(found.messages[3].sender, "MAILER-DAEMON");
  EXPECT_TRUE(found.messages[3].forced_expire);
}

TEST_F(QueueListerTest, LeavesOutWhatIsNoCompleteMessage) {
  const auto id = put(QueueName::incoming, "s@x", {"r@x"});
  ASSERT_EQ(::chmod((root_ + "/incoming/" + id).c_str(), 0600), 0);
  std::ofstream(root_ + "/hold/ABCDEF1") << "garbage";
  ASSERT_EQ(::chmod((root_ + "/hold/ABCDEF1").c_str(), 0700), 0);
  std::ofstream(root_ + "/hold/not-an-id") << "x";
  ASSERT_EQ(::symlink("/etc/passwd", (root_ + "/hold/ABCDEF2").c_str()), 0);
  EXPECT_TRUE(walk().messages.empty());
}

TEST_F(QueueListerTest, ALargeMessageComesInManySteps) {
  put(QueueName::active, "s@x", std::vector<std::string>(2500, "r@x"));
  Recorder recorder;
  clients::ShowqParser parser(recorder);
  clients::ShowqWriter writer;
  QueueLister lister(directory_);
  std::size_t largest = 0;
  for (;;) {
    const std::size_t before = recorder.count;
    const auto more = lister.step(writer);
    ASSERT_TRUE(more);
    ASSERT_TRUE(parser.feed(std::exchange(writer.buffer(), {})));
    largest = std::max(largest, recorder.count - before);
    if (!*more) { break; }
  }
  EXPECT_EQ(recorder.count, 2500U);
  EXPECT_LE(largest, 200U);
}

class RememberingListerTest : public QueueListerTest {
 protected:
  /// A second listing with the memory tells what a first one without it tells; returns that.
  Recorder walk_again() {
    Recorder remembered = walk(&memory_);
    const Recorder fresh = walk();
    EXPECT_EQ(remembered.recipients, fresh.recipients);
    EXPECT_EQ(remembered.messages.size(), fresh.messages.size());
    for (std::size_t i = 0; i < std::min(remembered.messages.size(), fresh.messages.size()); ++i) {
      EXPECT_EQ(remembered.messages[i].queue_id, fresh.messages[i].queue_id);
      EXPECT_EQ(remembered.messages[i].queue_name, fresh.messages[i].queue_name);
      EXPECT_EQ(remembered.messages[i].forced_expire, fresh.messages[i].forced_expire);
    }
    return remembered;
  }
  /// Until all files are old enough to be remembered, and they are.
  void settle(std::size_t messages) {
    for (int i = 0; i < 1000 && memory_.messages() < messages; ++i) {
      walk(&memory_);
      ::usleep(5000);
    }
    ASSERT_EQ(memory_.messages(), messages);
  }
  std::string path(QueueName queue, const std::string& id) const {
    return directory_.path(queue, *queue::QueueId::parse(id));
  }

  ListingMemory memory_{1 << 20};
};

TEST_F(RememberingListerTest, UnchangedFilesAreNotReadAgain) {
  const auto id = put(QueueName::deferred, "s@x", {"r@x"});
  log(id, "r@x", offsets_[0], "because");
  settle(1);
  // Nobody reads what is not told: the content of the text shows where it comes from.
  auto known =
      memory_.recall(queue::QueueScan(directory_, QueueName::deferred).next()->value().inode, "deferred/" + id);
  ASSERT_TRUE(known);
  const auto at = known->text.find("because");
  ASSERT_NE(at, std::string::npos);
  known->text.replace(at, 7, "BECAUSE");
  struct stat status{};
  ASSERT_EQ(::stat(path(QueueName::deferred, id).c_str(), &status), 0);
  memory_.remember(status.st_ino, "deferred/" + id, known->message, known->log, INT64_MAX, known->text);
  EXPECT_EQ(walk(&memory_).recipients.at(0), "<r@x>BECAUSE");
}

TEST_F(RememberingListerTest, ARecipientMarkedInPlaceIsSeen) {
  const auto id = put(QueueName::deferred, "s@x", {"r1@x", "r2@x"});
  settle(1);
  {
    auto reader = queue::MessageReader::open(path(QueueName::deferred, id), queue::MessageReader::Access::update);
    ASSERT_TRUE(reader);
    ASSERT_TRUE(reader->mark_done(offsets_[0]));
  }
  EXPECT_EQ(walk_again().recipients.at(0), "<r2@x>");
}

TEST_F(RememberingListerTest, ALogThatComesChangesAndGoesIsSeen) {
  const auto id = put(QueueName::deferred, "s@x", {"r1@x", "r2@x"});
  settle(1);
  log(id, "r1@x", offsets_[0], "one");
  EXPECT_EQ(walk_again().recipients.at(0), "<r1@x>one<r2@x>");
  settle(1);
  log(id, "r2@x", offsets_[1], "two");
  EXPECT_EQ(walk_again().recipients.at(0), "<r1@x>one<r2@x>two");
  settle(1);
  // Another file with the same size under this name.
  const std::string name = path(QueueName::defer, id);
  ASSERT_EQ(std::system(("sed -i s/two/TWO/ " + name).c_str()), 0);
  EXPECT_EQ(walk_again().recipients.at(0), "<r1@x>one<r2@x>TWO");
  settle(1);
  ASSERT_EQ(::unlink(name.c_str()), 0);
  EXPECT_EQ(walk_again().recipients.at(0), "<r1@x><r2@x>");
}

TEST_F(RememberingListerTest, AFileThatWasJustWrittenIsReadAgain) {
  const auto id = put(QueueName::deferred, "s@x", {"r@x"});
  // Each is appended within the same step of the clock, or nearly.
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    const std::string reason = "number " + std::to_string(i);
    log(id, "r@x", offsets_[0], reason);
    expected += "<r@x>" + reason;
    if (i < 14) { ASSERT_EQ(walk(&memory_).recipients.at(0), expected); }
  }
  EXPECT_EQ(walk_again().recipients.at(0), expected);
}

TEST_F(RememberingListerTest, AMessageThatMovesAndMarksThatChangeAreSeen) {
  const auto id = put(QueueName::deferred, "s@x", {"r@x"});
  settle(1);
  ASSERT_TRUE(directory_.move(*queue::QueueId::parse(id), QueueName::deferred, QueueName::hold));
  EXPECT_EQ(walk_again().messages.at(0).queue_name, "hold");
  settle(1);
  ASSERT_EQ(::chmod(path(QueueName::hold, id).c_str(), 0710), 0);
  EXPECT_TRUE(walk_again().messages.at(0).forced_expire);
  settle(1);
  ASSERT_EQ(::chmod(path(QueueName::hold, id).c_str(), 0600), 0);
  EXPECT_TRUE(walk_again().messages.empty());
  ASSERT_EQ(::unlink(path(QueueName::hold, id).c_str()), 0);
  EXPECT_TRUE(walk_again().messages.empty());
  EXPECT_EQ(memory_.messages(), 0U);
}

TEST_F(RememberingListerTest, AnotherMessageUnderTheSameNameIsSeen) {
  const auto id = put(QueueName::deferred, "first@x", {"r@x"});
  settle(1);
  const auto other = put(QueueName::deferred, "other@x", {"r@x"});
  ASSERT_EQ(::rename(path(QueueName::deferred, other).c_str(), path(QueueName::deferred, id).c_str()), 0);
  EXPECT_EQ(walk_again().messages.at(0).sender, "other@x");
}

TEST_F(RememberingListerTest, ManyMessagesAreToldInTheSameOrder) {
  for (int i = 0; i < 200; ++i) {
    const std::vector<std::string> recipients(i % 50 == 7 ? 40 : 1, "r" + std::to_string(i) + "@x");
    put(i % 3 == 0 ? QueueName::hold : QueueName::deferred, "s" + std::to_string(i) + "@x", recipients);
  }
  settle(196);
  EXPECT_EQ(walk_again().messages.size(), 200U);
}

}  // namespace
}  // namespace stagepost::delivery
