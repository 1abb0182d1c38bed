#include "delivery/queue_lister.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>
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

  Recorder walk() {
    Recorder recorder;
    QueueLister lister(directory_);
    for (;;) {
      const auto more = lister.step(recorder);
      EXPECT_TRUE(more);
      if (!more || !*more) { break; }
    }
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
  QueueLister lister(directory_);
  std::size_t largest = 0;
  for (;;) {
    const std::size_t before = recorder.count;
    const auto more = lister.step(recorder);
    ASSERT_TRUE(more);
    largest = std::max(largest, recorder.count - before);
    if (!*more) { break; }
  }
  EXPECT_EQ(recorder.count, 2500U);
  EXPECT_LE(largest, 200U);
}

}  // namespace
}  // namespace stagepost::delivery
