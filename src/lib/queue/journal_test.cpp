#include "queue/journal.hpp"

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <semaphore>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::queue::journal {
namespace {

using namespace std::chrono_literals;

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "journalXXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    ASSERT_TRUE(directory().create_all({::getuid(), ::getgid(), ::getgid()}));
    options_.segment_octets = {256 * 1024};
    options_.interval = 5ms;
    options_.warn = [this](const std::string& line) {
      const std::scoped_lock lock(mutex_);
      warnings_.push_back(line);
    };
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  [[nodiscard]] QueueDirectory directory() const { return {root_, Hashing{}}; }
  [[nodiscard]] std::string path() const { return root_ + "/journal"; }

  static void wait_until(const std::function<bool()>& condition) {
    bool holds = condition();
    for (int i = 0; i < 10'000 && !holds; ++i) {
      std::this_thread::sleep_for(1ms);
      holds = condition();
    }
    EXPECT_TRUE(holds);
  }
  std::unique_ptr<Journal> open() {
    auto journal = std::make_unique<Journal>(directory(), options_);
    wait_until([&] { return journal->figures().segments > 0; });
    return journal;
  }
  /// A message in incoming/ as cleanup leaves it, not synced.
  Instance message(std::string_view content = "Subject: x") {
    auto writer = MessageWriter::create(directory(), QueueName::incoming, {});
    EXPECT_TRUE(writer);
    writer->append(RecordType::size, format_size({}));
    writer->append(RecordType::time, format_time(writer->created()));
    writer->append_attribute("create_time", std::to_string(writer->created().seconds));
    writer->append(RecordType::line, content);
    EXPECT_TRUE(writer->complete());
    return {writer->id(), writer->created(), writer->created().seconds};
  }
  Instance append(Journal& journal, std::string_view content = "bytes") {
    const Instance instance = message();
    EXPECT_TRUE(journal.append(instance, Place::incoming, content, {}, counter()));
    return instance;
  }
  Journal::Done counter() {
    return [this](const Result<>& result) { ++(result ? succeeded_ : failed_); };
  }
  void complete(const Instance& instance) {
    CompletionLog log(path());
    ASSERT_TRUE(log.append({CompletionKind::removed, instance}));
  }
  std::vector<std::string> files() const {
    auto names = *sys::list_directory(path());
    std::erase(names, "new");  // the nursery
    return names;
  }
  std::string segment_bytes() const {
    for (const auto& name : files()) {
      if (name.starts_with(kSegmentPrefix)) { return *sys::read_file(path() + '/' + name, kSegmentOctetsLimit); }
    }
    return {};
  }
  std::vector<std::string> contents() const {
    const std::string bytes = segment_bytes();
    SegmentReader reader(bytes, *parse_header(bytes));
    std::vector<std::string> found;
    while (const auto record = reader.next()) { found.emplace_back(record->content); }
    return found;
  }

  std::string root_;
  Journal::Options options_;
  std::mutex mutex_;
  std::vector<std::string> warnings_;
  std::atomic<int> succeeded_ = 0;
  std::atomic<int> failed_ = 0;
};

TEST_F(JournalTest, AMessageIsInTheSegmentWhenItsSyncIsReported) {
  const auto journal = open();
  ASSERT_TRUE(journal->append(message(), Place::incoming, "beginning ", "and end", counter()));
  wait_until([&] { return succeeded_ == 1; });
  EXPECT_THAT(contents(), testing::ElementsAre("beginning and end"));
  EXPECT_EQ(sys::stat(path() + '/' + files().front())->st_mode & 07777U, 0600U);
}

TEST_F(JournalTest, AllWhoWaitWhileASyncRunsShareTheNextOne) {
  std::counting_semaphore<100> begun(0);
  std::counting_semaphore<100> may_end(0);
  options_.data_sync = [&](int fd) {
    begun.release();
    may_end.acquire();
    return ::fdatasync(fd);
  };
  const auto journal = open();
  append(*journal, "first");
  begun.acquire();
  for (int i = 0; i < 10; ++i) { append(*journal); }
  EXPECT_EQ(succeeded_, 0);
  may_end.release();
  wait_until([&] { return succeeded_ == 1; });
  begun.acquire();
  EXPECT_EQ(succeeded_, 1) << "a sync that began before the write says nothing";
  may_end.release();
  wait_until([&] { return succeeded_ == 11; });
  EXPECT_EQ(journal->figures().syncs, 2U);
  may_end.release(50);
}

TEST_F(JournalTest, APageThatWasSyncedIsNotWrittenAgain) {
  const auto journal = open();
  append(*journal, "one");
  wait_until([&] { return succeeded_ == 1; });
  const std::string before = segment_bytes();
  append(*journal, "two");
  wait_until([&] { return succeeded_ == 2; });
  const std::string after = segment_bytes();
  EXPECT_EQ(before.substr(0, 2 * kPageOctets), after.substr(0, 2 * kPageOctets));
  EXPECT_THAT(contents(), testing::ElementsAre("one", "two"));
}

TEST_F(JournalTest, CloseStoresWhatIsNotCompleted) {
  auto journal = open();
  append(*journal);
  const Instance done = append(*journal);
  wait_until([&] { return succeeded_ == 2; });
  complete(done);
  journal->close();
  EXPECT_EQ(journal->figures().files_synced, 1U);
  EXPECT_EQ(journal->figures().segments, 0U);
  EXPECT_FALSE(has_segments(path()));
  EXPECT_FALSE(journal->append(message(), Place::incoming, "late", {}, counter()));
}

TEST_F(JournalTest, ASegmentIsEmptiedAtOnceWhenItIsFullAndAllIsCompleted) {
  const auto journal = open();
  const std::string content(60 * 1024, 'x');
  std::vector<Instance> instances;
  for (int i = 0; i < 5; ++i) {
    wait_until([&] {
      const Instance instance = message();
      if (!journal->append(instance, Place::incoming, content, {}, counter())) { return false; }
      instances.push_back(instance);
      return true;
    });
  }
  for (const auto& instance : instances) { complete(instance); }
  wait_until([&] { return journal->figures().emptied == 1; });
  EXPECT_EQ(journal->figures().files_synced, 0U);
  EXPECT_EQ(journal->figures().all_synced, 0U);
}

TEST_F(JournalTest, AnOldSegmentIsStoredAndEmptied) {
  options_.age_limit = 20ms;
  const auto journal = open();
  append(*journal);
  append(*journal);
  wait_until([&] { return journal->figures().emptied == 1; });
  EXPECT_EQ(journal->figures().files_synced, 2U);
  EXPECT_EQ(journal->figures().records, 0U);
  append(*journal);  // it is used again
  wait_until([&] { return succeeded_ == 3; });
}

TEST_F(JournalTest, AMessageThatIsNotFoundOrOneOfManyIsStoredWithEverything) {
  options_.age_limit = 20ms;
  const auto journal = open();
  const Instance gone = append(*journal);
  ASSERT_TRUE(directory().remove(QueueName::incoming, gone.id));
  wait_until([&] { return journal->figures().emptied == 1; });
  EXPECT_EQ(journal->figures().all_synced, 1U);
  options_.age_limit = 1h;
  const auto many = open();
  for (std::size_t i = 0; i <= options_.files_limit; ++i) { append(*many); }
  many->close();
  EXPECT_EQ(many->figures().all_synced, 1U);
  EXPECT_EQ(many->figures().files_synced, 0U);
}

TEST_F(JournalTest, AFailingSyncIsAnErrorForAllWhoShareItAndEndsTheUseOfTheJournal) {
  std::counting_semaphore<100> may_end(0);
  std::atomic<int> calls = 0;
  options_.data_sync = [&](int) {
    ++calls;
    may_end.acquire();
    errno = EIO;
    return -1;
  };
  auto journal = open();
  append(*journal);
  wait_until([&] { return calls == 1; });
  append(*journal);
  append(*journal);
  may_end.release(50);
  wait_until([&] { return failed_ == 3; });
  EXPECT_EQ(calls, 1) << "a segment whose sync has failed is not asked again";
  EXPECT_FALSE(journal->append(message(), Place::incoming, "later", {}, counter()));
  // The messages' own files can be synced, so nothing needs the segment.
  wait_until([&] { return journal->figures().emptied == 1; });
  EXPECT_EQ(journal->figures().files_synced, 3U);
  EXPECT_FALSE(warnings_.empty());
}

TEST_F(JournalTest, ASegmentWhoseMessagesCannotBeStoredIsLeftToRecovery) {
  options_.age_limit = 10ms;
  options_.file_sync = [](int) {
    errno = EIO;
    return -1;
  };
  auto journal = open();
  append(*journal, "kept");
  wait_until([&] {
    const std::scoped_lock lock(mutex_);
    return !warnings_.empty();
  });
  journal->close();
  EXPECT_THAT(contents(), testing::ElementsAre("kept"));
}

TEST_F(JournalTest, WithoutRoomNobodyWaits) {
  options_.segment_octets = {16 * 1024};
  options_.segments_limit = 2;
  options_.all_sync = [](int) {
    errno = EIO;
    return -1;
  };
  options_.file_sync = options_.all_sync;
  const auto journal = open();
  int accepted = 0;
  for (int i = 0; i < 50; ++i) {
    accepted += journal->append(message(), Place::incoming, std::string(2000, 'x'), {}, counter()) ? 1 : 0;
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_GE(accepted, 3);
  EXPECT_LT(accepted, 15);
  EXPECT_LE(journal->figures().segments, 2U);
}

TEST_F(JournalTest, LargeMessagesAndLongNamesGoByTheirOwnFile) {
  options_.segment_octets = {4U << 20U};
  const auto journal = open();
  EXPECT_FALSE(journal->append(message(), Place::incoming, std::string(kContentOctetsLimit + 1, 'x'), {}, counter()));
  Instance instance = message();
  EXPECT_TRUE(journal->append(instance, Place::incoming, std::string(kContentOctetsLimit, 'x'), {}, counter()));
  instance.id = *QueueId::parse(std::string(kIdOctetsLimit + 1, 'A'));
  EXPECT_FALSE(journal->append(instance, Place::incoming, "x", {}, counter()));
}

TEST_F(JournalTest, WithoutItsDirectoryThereIsAWarningAndNoJournal) {
  std::filesystem::remove_all(path());
  Journal journal(directory(), options_);
  wait_until([&] {
    const std::scoped_lock lock(mutex_);
    return !warnings_.empty();
  });
  EXPECT_FALSE(journal.append(message(), Place::incoming, "x", {}, counter()));
}

TEST_F(JournalTest, WhatWasWithdrawnIsCompleted) {
  const auto journal = open();
  const Instance instance = append(*journal);
  wait_until([&] { return succeeded_ == 1; });
  ASSERT_TRUE(journal->withdraw(instance));
  wait_until([&] { return journal->figures().records == 0; });
}

TEST_F(JournalTest, CompletionsAreReadAsTheyAreWrittenAndTornOnesSkipped) {
  CompletionReader reader(path());
  std::vector<std::string> seen;
  const auto poll = [&] {
    ASSERT_TRUE(reader.poll([&](const Completion& completion) { seen.push_back(completion.instance.id.str()); }));
  };
  const auto instance = [](std::string_view id) { return Instance{*QueueId::parse(id), {1, 2}, 3}; };
  CompletionLog log(path());
  ASSERT_TRUE(log.append({CompletionKind::removed, instance("AAAAAA1")}));
  poll();
  poll();
  ASSERT_TRUE(log.append({CompletionKind::removed, instance("AAAAAA2")}));
  EXPECT_TRUE(log.unsynced());
  ASSERT_TRUE(log.sync());
  EXPECT_FALSE(log.unsynced());
  // A write that was cut.
  const std::string file = path() + '/' + log.name();
  std::filesystem::resize_file(file, std::filesystem::file_size(file) + 50);
  poll();
  ASSERT_TRUE(reader.sync());
  ASSERT_TRUE(log.append({CompletionKind::settled, instance("AAAAAA3")}));
  log.close();
  ASSERT_TRUE(log.append({CompletionKind::removed, instance("AAAAAA4")}));
  poll();
  EXPECT_THAT(seen, testing::ElementsAre("AAAAAA1", "AAAAAA2", "AAAAAA3", "AAAAAA4"));
  EXPECT_EQ(files().size(), 2U);
  log.discard();
  EXPECT_EQ(files().size(), 1U);
}

TEST_F(JournalTest, TheUseOfASegmentChangesWhenItIsEmptied) {
  auto segment = SegmentFile::create(path(), 64 * 1024, {});
  ASSERT_TRUE(segment);
  const auto first = durable_segments(path());
  ASSERT_TRUE(first);
  ASSERT_EQ(first->size(), 1U);
  EXPECT_EQ(first->front().salt, segment->salt());
  ASSERT_TRUE(segment->append({*QueueId::parse("AAAAAA1"), {1, 2}, 3}, Place::incoming, "x", ""));
  EXPECT_EQ(*durable_segments(path()), *first);
  ASSERT_TRUE(segment->reset());
  EXPECT_TRUE(segment->empty());
  EXPECT_NE(*durable_segments(path()), *first);
  EXPECT_THAT(contents(), testing::ElementsAre());
  ASSERT_TRUE(segment->remove());
  EXPECT_TRUE(files().empty());
}

}  // namespace
}  // namespace stagepost::queue::journal
