#include "queue/journal_recovery.hpp"

#include <array>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "queue/completion_log.hpp"
#include "queue/journal_segment.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::queue::journal {
namespace {

constexpr BootId kBefore{1};
constexpr BootId kNow{2};

Instance instance(std::string_view id, std::int64_t seconds = 1'700'000'000) {
  return {*QueueId::parse(id), {seconds, 42}, seconds};
}
std::string bytes(const Instance& who) {
  std::string out;
  append_record(out, RecordType::size, format_size({.recipient_count = 2}));
  append_record(out, RecordType::time, format_time(who.arrival));
  append_attribute(out, "create_time", std::to_string(who.create_time));
  append_record(out, RecordType::warn_time, format_warn_time(1'700'000'600));
  append_record(out, RecordType::sender, "s@example.com");
  append_record(out, RecordType::recipient, "R1@example.com");
  append_record(out, RecordType::recipient, "R2@example.com");
  append_record(out, RecordType::content_start, "");
  append_record(out, RecordType::line, "Subject: " + who.id.str());
  append_record(out, RecordType::extracted_start, "");
  append_record(out, RecordType::end, "");
  return out;
}

class RecoveryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "recoveryXXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    ASSERT_TRUE(directory().create_all({::getuid(), ::getgid(), ::getgid()}));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  [[nodiscard]] QueueDirectory directory() const { return {root_, Hashing{}}; }
  [[nodiscard]] std::string journal() const { return root_ + "/journal"; }

  /// A journal whose process has died.
  void leave(const std::vector<Instance>& messages, Place place = Place::incoming, const BootId& boot = kBefore) {
    auto segment = SegmentFile::create(journal(), 64 * 1024, boot);
    ASSERT_TRUE(segment);
    for (const auto& one : messages) { ASSERT_TRUE(segment->append(one, place, bytes(one), "")); }
  }
  void put(QueueName queue, const QueueId& id, std::string_view content, mode_t mode = 0700) {
    ASSERT_TRUE(directory().make_hash_path(queue, id));
    const auto fd = sys::open(directory().path(queue, id), O_CREAT | O_EXCL | O_WRONLY);
    ASSERT_TRUE(fd);
    ASSERT_TRUE(sys::write_all(fd->get(), content));
    ASSERT_TRUE(sys::fchmod(fd->get(), mode));
  }
  void complete(const Instance& who, CompletionKind kind = CompletionKind::removed) {
    CompletionLog log(journal());
    ASSERT_TRUE(log.append({kind, who}));
  }
  RecoveryReport recover(bool running = false) {
    auto report =
        journal::recover(directory(), {.boot_id = kNow, .running = running, .patience = std::chrono::seconds(0)});
    EXPECT_TRUE(report) << report.error().message();
    return report ? *std::move(report) : RecoveryReport{};
  }
  [[nodiscard]] std::string content(QueueName queue, const QueueId& id) const {
    const auto read = sys::read_file(directory().path(queue, id), 1U << 20U);
    return read ? *read : "missing";
  }
  [[nodiscard]] mode_t mode(QueueName queue, const QueueId& id) const {
    return sys::stat(directory().path(queue, id))->st_mode & 07777U;
  }
  [[nodiscard]] bool exists(QueueName queue, const QueueId& id) const {
    return sys::stat(directory().path(queue, id)).has_value();
  }

  std::string root_;
  const Instance one_ = instance("1111112345");
  const Instance two_ = instance("2222212345");
};

using enum QueueName;

TEST_F(RecoveryTest, AMessageThatIsMissingIsWrittenAgainOnce) {
  leave({one_, two_});
  put(active, two_.id, bytes(two_));
  const auto report = recover();
  EXPECT_EQ(report.messages, 2U);
  EXPECT_EQ(report.restored, 1U);
  EXPECT_EQ(content(incoming, one_.id), bytes(one_));
  EXPECT_EQ(mode(incoming, one_.id), 0700U);
  EXPECT_TRUE(is_empty(journal()));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root_ + "/incoming"), {}), 1);
  EXPECT_FALSE(recover().did_something());
}

TEST_F(RecoveryTest, WhatWasMadeInHoldComesBackInHold) {
  leave({one_}, Place::hold);
  EXPECT_EQ(recover().restored, 1U);
  EXPECT_EQ(content(hold, one_.id), bytes(one_));
}

TEST_F(RecoveryTest, AMessageIsFoundInEachQueueAndWithOtherHashing) {
  for (const QueueName queue : {incoming, active, deferred, hold, corrupt, maildrop, saved}) {
    leave({one_});
    put(queue, one_.id, bytes(one_));
    const auto report = recover();
    EXPECT_EQ(report.restored + report.repaired, 0U) << to_string(queue);
    EXPECT_EQ(content(queue, one_.id), bytes(one_));
    ASSERT_TRUE(directory().remove(queue, one_.id));
  }
  leave({one_});
  std::filesystem::create_directories(root_ + "/active/1/1/1");
  std::ofstream(root_ + "/active/1/1/1/" + one_.id.str()) << bytes(one_);
  ::chmod((root_ + "/active/1/1/1/" + one_.id.str()).c_str(), 0700);
  EXPECT_EQ(recover().restored, 0U);
}

TEST_F(RecoveryTest, CompletedMessagesStayAwayAndWhatIsLeftOfThemGoes) {
  const Instance cut = instance("3333312345");
  const Instance requeued = instance("4444412345");
  const Instance young = instance("5555512345");
  leave({one_, two_, cut, requeued});
  for (const auto& who : {one_, two_, cut, young}) { complete(who); }
  complete(requeued, CompletionKind::settled);
  put(active, two_.id, bytes(two_));
  put(active, cut.id, "");  // its name was stored, its bytes were not
  put(deferred, requeued.id, bytes(requeued));
  put(incoming, young.id, bytes(instance("5555512345", 1'800'000'000)));  // the name is used again
  const auto report = recover();
  EXPECT_EQ(report.restored, 0U);
  EXPECT_EQ(report.removed, 2U);
  EXPECT_FALSE(exists(incoming, one_.id));
  EXPECT_FALSE(exists(active, two_.id));
  EXPECT_FALSE(exists(active, cut.id));
  EXPECT_TRUE(exists(deferred, requeued.id));
  EXPECT_TRUE(exists(incoming, young.id));
  EXPECT_TRUE(is_empty(journal()));
}

TEST_F(RecoveryTest, WhatIsLeftOfACompletedMessageGoesWhereverItWasCutOff) {
  const std::string whole = bytes(one_);
  for (std::size_t octets = 0; octets < whole.size(); octets += 10) {
    for (const std::string& rest : {std::string(), std::string(whole.size() - octets, '\0')}) {
      leave({one_});
      complete(one_);
      put(active, one_.id, whole.substr(0, octets) + rest);
      EXPECT_EQ(recover().removed, 1U) << octets;
      EXPECT_FALSE(exists(active, one_.id)) << octets;
    }
  }
}

TEST_F(RecoveryTest, AFileThatIsBeingWrittenIsNotRemovedForACompletionOfItsName) {
  complete(one_);
  put(incoming, one_.id, "", 0600);
  EXPECT_EQ(recover().removed, 0U);
  EXPECT_TRUE(exists(incoming, one_.id));
}

TEST_F(RecoveryTest, AnIncompleteFileIsCompletedAfterAPowerCutAndRemovedAfterACrash) {
  leave({one_});
  put(incoming, one_.id, bytes(one_), 0600);
  EXPECT_EQ(recover().repaired, 1U);
  EXPECT_EQ(mode(incoming, one_.id), 0700U);
  EXPECT_EQ(content(incoming, one_.id), bytes(one_));
  leave({two_}, Place::incoming, kNow);
  put(incoming, two_.id, bytes(two_), 0600);
  EXPECT_EQ(recover().discarded, 1U);
  EXPECT_FALSE(exists(incoming, two_.id));
}

TEST_F(RecoveryTest, ADamagedFileIsRepairedInPlaceAndKeepsItsMarks) {
  std::string marked = bytes(one_);
  const std::size_t mark = marked.find("R1@") - 2;
  ASSERT_EQ(marked[mark], 'R');
  marked[mark] = 'D';
  for (const std::string& damaged :
       {marked.substr(0, mark + 40), marked.substr(0, mark + 40) + std::string(marked.size() - mark - 40, '\0'),
        marked + "tail"}) {
    leave({one_});
    put(deferred, one_.id, damaged);
    const timespec due{.tv_sec = 1'900'000'000, .tv_nsec = 0};
    const std::array times{due, due};
    ASSERT_EQ(::utimensat(AT_FDCWD, directory().path(deferred, one_.id).c_str(), times.data(), 0), 0);
    EXPECT_EQ(recover().repaired, 1U);
    EXPECT_EQ(content(deferred, one_.id), marked);
    EXPECT_EQ(sys::stat(directory().path(deferred, one_.id))->st_mtime, due.tv_sec);
    ASSERT_TRUE(directory().remove(deferred, one_.id));
  }
  // Wherever it was cut off, it is this message and not another one of its name.
  for (const std::size_t octets : {0U, 50U, 120U, 130U, 140U, 150U}) {
    ASSERT_LT(octets, bytes(one_).size());
    leave({one_});
    put(active, one_.id, bytes(one_).substr(0, octets));
    const auto report = recover();
    EXPECT_EQ(report.repaired, 1U) << octets;
    EXPECT_EQ(report.restored, 0U) << octets;
    EXPECT_EQ(content(active, one_.id), bytes(one_));
    ASSERT_TRUE(directory().remove(active, one_.id));
  }
}

TEST_F(RecoveryTest, TheNameOfAnotherMessageIsLeftAlone) {
  leave({one_});
  const Instance other = instance(one_.id.str(), 1'750'000'000);
  put(incoming, one_.id, bytes(other));
  const auto report = recover();
  EXPECT_EQ(report.restored, 1U);
  EXPECT_EQ(content(incoming, one_.id), bytes(other));
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(root_ + "/incoming")) {
    ++files;
    if (entry.path().filename() != one_.id.str()) { EXPECT_EQ(*sys::read_file(entry.path(), 10'000), bytes(one_)); }
  }
  EXPECT_EQ(files, 2U);
}

TEST_F(RecoveryTest, SegmentsOfLivingProcessesAreLeftAlone) {
  auto segment = SegmentFile::create(journal(), 64 * 1024, kBefore);
  ASSERT_TRUE(segment);
  ASSERT_TRUE(segment->append(one_, Place::incoming, bytes(one_), ""));
  complete(two_);
  put(active, two_.id, bytes(two_));
  const auto report = recover();
  EXPECT_TRUE(report.live);
  EXPECT_EQ(report.segments, 0U);
  EXPECT_FALSE(exists(incoming, one_.id));
  EXPECT_TRUE(exists(active, two_.id)) << "completions are needed as long as there are segments";
  EXPECT_FALSE(is_empty(journal()));
}

TEST_F(RecoveryTest, WhileTheSystemRunsWhatIsMissingWasRemoved) {
  leave({one_}, Place::incoming, kNow);
  EXPECT_EQ(recover(true).restored, 0U);
  EXPECT_FALSE(exists(incoming, one_.id));
  EXPECT_TRUE(is_empty(journal()));
  // What an earlier kernel left is another matter.
  leave({two_}, Place::incoming, kBefore);
  EXPECT_EQ(recover(true).restored, 1U);
}

TEST_F(RecoveryTest, FilesThatAreNoSegmentsAreMovedAside) {
  std::ofstream(journal() + "/segment.1.1") << "garbage";
  std::ofstream(journal() + "/segment.1.2") << "";
  std::string other_version = encode_header({.salt = 1, .generation = 1, .segment_octets = 8192});
  other_version[8] = 9;
  std::ofstream(journal() + "/segment.1.3") << other_version;
  ASSERT_EQ(::mkfifo((journal() + "/segment.1.4").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (journal() + "/segment.1.5").c_str()), 0);
  std::ofstream(journal() + "/new.1.6") << "half made";
  leave({one_});
  const auto report = recover();
  EXPECT_EQ(report.warnings.size(), 5U);
  EXPECT_EQ(report.restored, 1U);
  EXPECT_TRUE(is_empty(journal()));
  EXPECT_TRUE(sys::lstat(journal() + "/damaged.segment.1.1.0"));
  EXPECT_FALSE(sys::lstat(journal() + "/new.1.6"));
  std::ofstream(journal() + "/segment.1.1") << "garbage";
  EXPECT_EQ(recover().warnings.size(), 1U);
  EXPECT_TRUE(sys::lstat(journal() + "/damaged.segment.1.1.1"));
}

TEST_F(RecoveryTest, ACutSegmentGivesWhatItHas) {
  auto segment = SegmentFile::create(journal(), 64 * 1024, kBefore);
  ASSERT_TRUE(segment);
  ASSERT_TRUE(segment->append(one_, Place::incoming, bytes(one_), ""));
  const auto end = segment->used();
  ASSERT_TRUE(segment->append(two_, Place::incoming, bytes(two_), ""));
  ASSERT_EQ(::truncate((journal() + '/' + segment->name()).c_str(), static_cast<off_t>(end + 100)), 0);
  { const SegmentFile dead = *std::move(segment); }
  const auto report = recover();
  EXPECT_EQ(report.restored, 1U);
  EXPECT_TRUE(exists(incoming, one_.id));
  EXPECT_FALSE(exists(incoming, two_.id));
}

TEST_F(RecoveryTest, OnlyOneRecoversAtATime) {
  leave({one_});
  const auto fd = sys::open(journal(), O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(sys::lock_exclusive(fd->get(), sys::LockWait::no));
  EXPECT_TRUE(recover().busy);
  EXPECT_FALSE(exists(incoming, one_.id));
}

TEST_F(RecoveryTest, WithoutAJournalThereIsNothingToDo) {
  std::filesystem::remove_all(journal());
  EXPECT_FALSE(recover().did_something());
  EXPECT_TRUE(is_empty(journal()));
}

TEST_F(RecoveryTest, FilesThatDiedBeforeTheyGotTheirNameGoAfterAnHour) {
  const std::string place = journal() + "/new/00";
  std::filesystem::create_directories(place);
  std::ofstream(place + "/old") << "x";
  std::ofstream(place + "/young") << "x";
  const timespec before{.tv_sec = ::time(nullptr) - 4000, .tv_nsec = 0};
  const std::array times{before, before};
  ASSERT_EQ(::utimensat(AT_FDCWD, (place + "/old").c_str(), times.data(), 0), 0);
  static_cast<void>(recover());
  EXPECT_FALSE(sys::lstat(place + "/old"));
  EXPECT_TRUE(sys::lstat(place + "/young"));
  EXPECT_TRUE(is_empty(journal()));
}

TEST_F(RecoveryTest, AJournalThatCannotBeOpenedIsAWarning) {
  std::filesystem::remove_all(journal());
  std::ofstream(journal()) << "x";
  EXPECT_EQ(recover().warnings.size(), 1U);
}

TEST(MergeMarks, TakesMarksAndNothingElse) {
  const std::string whole = bytes(instance("1111112345"));
  struct Case {
    const char* name;
    std::function<void(std::string&)> change;
    Comparison expected;
  };
  const std::size_t recipient = whole.find("R2@") - 2;
  const std::size_t warn = whole.find("1700000600");
  const std::vector<Case> cases{
      {"same", [](std::string&) {}, Comparison::equal},
      {"done", [&](std::string& f) { f[recipient] = 'D'; }, Comparison::equal},
      {"warned", [&](std::string& f) { f.replace(warn, 10, "        -1"); }, Comparison::equal},
      {"warning lost", [&](std::string& f) { f.replace(warn, 10, std::string(10, '\0')); }, Comparison::damaged},
      {"short", [](std::string& f) { f.pop_back(); }, Comparison::damaged},
      {"long", [](std::string& f) { f += 'x'; }, Comparison::damaged},
      {"empty", [](std::string& f) { f.clear(); }, Comparison::damaged},
      {"other letter", [&](std::string& f) { f[recipient] = 'K'; }, Comparison::damaged},
      {"content", [&](std::string& f) { f[f.size() - 10] ^= 1; }, Comparison::damaged},
  };
  for (const auto& one : cases) {
    std::string file = whole;
    one.change(file);
    std::string committed = whole;
    EXPECT_EQ(merge_marks(committed, file), one.expected) << one.name;
    EXPECT_EQ(committed[recipient], file.size() > recipient && file[recipient] == 'D' ? 'D' : 'R') << one.name;
  }
}

}  // namespace
}  // namespace stagepost::queue::journal
