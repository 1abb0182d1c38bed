#include "commands/postsuper/maintenance.hpp"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "queue/nursery.hpp"

namespace stagepost::postsuper {
namespace {

using enum queue::QueueName;
using queue::QueueId;
using queue::QueueName;

const std::vector<QueueName> kQueues{defer, bounce, maildrop, incoming, active, deferred, hold, flush};

class MaintenanceTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "superXXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    ASSERT_TRUE(directory().create_all({::getuid(), ::getgid(), ::getgid()}));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  [[nodiscard]] queue::QueueDirectory directory() const { return {root_, queue::Hashing{}}; }
  Maintenance maintenance(queue::IdStyle style = queue::IdStyle::short_form) {
    return {directory(),
            style,
            {.info = [this](std::string_view text) { lines_.emplace_back(text); },
             .warning = [this](std::string_view text) { warnings_.emplace_back(text); }}};
  }
  // A file whose name has its inode.
  QueueId message(QueueName queue, mode_t mode = 0700) {
    const std::string path = root_ + "/new";
    std::ofstream(path) << "x";
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    const QueueId id = QueueId::make_short(0xABC00 + static_cast<std::uint32_t>(++count_), sys::stat(path)->st_ino);
    EXPECT_TRUE(directory().make_hash_path(queue, id));
    EXPECT_TRUE(sys::rename(path, directory().path(queue, id)));
    return id;
  }
  void file(const std::string& path, mode_t mode = 0700) {
    std::filesystem::create_directories(std::filesystem::path(root_ + '/' + path).parent_path());
    std::ofstream(root_ + '/' + path) << "x";
    ASSERT_EQ(::chmod((root_ + '/' + path).c_str(), mode), 0);
  }
  [[nodiscard]] bool is_in(QueueName queue, const QueueId& id) const {
    return sys::stat(directory().path(queue, id)).has_value();
  }
  static Selection only(const QueueId& id) { return {.ids = {id}}; }

  std::string root_;
  std::vector<std::string> lines_;
  std::vector<std::string> warnings_;
  int count_ = 0;
};

TEST_F(MaintenanceTest, MessagesMoveBetweenQueues) {
  const auto id = message(deferred);
  auto work = maintenance();
  ASSERT_TRUE(work.apply(Action::hold, only(id), kQueues));
  EXPECT_TRUE(is_in(hold, id));
  ASSERT_TRUE(work.apply(Action::hold, only(id), kQueues));  // Already there: not counted again.
  ASSERT_TRUE(work.apply(Action::release, only(id), kQueues));
  EXPECT_TRUE(is_in(deferred, id));
  ASSERT_TRUE(work.apply(Action::requeue, only(id), kQueues));
  EXPECT_TRUE(is_in(maildrop, id));
  EXPECT_EQ(lines_, (std::vector<std::string>{id.str() + ": placed on hold", id.str() + ": released from hold",
                                              id.str() + ": requeued"}));
  EXPECT_EQ(work.counters().held, 1U);
}

TEST_F(MaintenanceTest, RemovalTakesTheLogsAlong) {
  const auto id = message(active);
  file("defer/A/" + id.str());
  file("bounce/" + id.str());
  auto work = maintenance();
  ASSERT_TRUE(work.apply(Action::remove, only(id), {deferred}));  // Not in that queue.
  EXPECT_TRUE(is_in(active, id));
  ASSERT_TRUE(work.apply(Action::remove, only(id), kQueues));
  EXPECT_FALSE(is_in(active, id));
  EXPECT_FALSE(is_in(defer, id));
  EXPECT_FALSE(is_in(bounce, id));
  EXPECT_EQ(work.counters().removed, 1U);
}

// More than one batch, and enough for several threads.
TEST_F(MaintenanceTest, ManyMessagesAreRemovedAndEachIsCountedOnce) {
  Selection named;
  for (int i = 0; i < 2500; ++i) { named.ids.push_back(message(i % 2 == 0 ? deferred : hold)); }
  const auto gone = [&] {
    return std::ranges::none_of(named.ids, [&](const QueueId& id) { return is_in(deferred, id) || is_in(hold, id); });
  };
  for (const auto& id : named.ids) { file("trace/" + id.str()); }
  auto work = maintenance();
  ASSERT_TRUE(work.apply(Action::remove, {.ids = {}, .all = true}, kQueues));
  EXPECT_TRUE(gone());
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/trace"));
  EXPECT_EQ(work.counters().removed, 2500U);
  EXPECT_TRUE(lines_.empty());

  named.ids.clear();
  std::vector<std::string> expected;
  for (int i = 0; i < 100; ++i) {
    named.ids.push_back(message(deferred));
    expected.push_back(named.ids.back().str() + ": removed");
  }
  named.ids.push_back(named.ids.front());  // named twice
  ASSERT_TRUE(work.apply(Action::remove, named, kQueues));
  EXPECT_TRUE(gone());
  EXPECT_EQ(lines_, expected);
  EXPECT_EQ(work.counters().removed, 2600U);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(MaintenanceTest, AMessageThatIsStillBeingReceivedIsLeftAlone) {
  const auto id = message(incoming, 0600);
  auto work = maintenance();
  for (const auto action : {Action::remove, Action::hold, Action::requeue, Action::expire}) {
    ASSERT_TRUE(work.apply(action, only(id), kQueues));
    ASSERT_TRUE(work.apply(action, {.ids = {}, .all = true}, kQueues));
  }
  EXPECT_TRUE(is_in(incoming, id));
}

TEST_F(MaintenanceTest, ExpiryIsTheGroupExecuteBitAndCountsOnce) {
  const auto id = message(hold);
  auto work = maintenance();
  ASSERT_TRUE(work.apply(Action::expire, only(id), kQueues));
  EXPECT_EQ(sys::stat(directory().path(hold, id))->st_mode & 07777U, 0710U);
  ASSERT_TRUE(work.apply(Action::expire_and_release, only(id), kQueues));
  EXPECT_TRUE(is_in(deferred, id));
  EXPECT_EQ(work.counters().expired, 1U);
  EXPECT_EQ(work.counters().released, 1U);
}

TEST_F(MaintenanceTest, RepairGivesEveryFileItsNameAndPlace) {
  file("deferred/A/ABCDE1234");
  file("defer/ABCDE1234");
  file("hold/A/ABCDF1236");
  file("incoming/4jXSyW1W2Rz1bcJh");
  file("active/12");
  auto work = maintenance();
  ASSERT_TRUE(work.repair(kQueues, NameCheck::inode));
  EXPECT_EQ(work.counters().renamed, 3U);
  for (const auto& [queue, prefix] :
       std::vector<std::pair<QueueName, std::string>>{{deferred, "ABCDE"}, {hold, "ABCDF"}, {incoming, "342EF"}}) {
    queue::QueueScan scan(directory(), queue);
    const auto entry = scan.next();
    ASSERT_TRUE(entry && *entry);
    EXPECT_TRUE((*entry)->name.starts_with(prefix)) << (*entry)->name;
    const auto id = QueueId::parse((*entry)->name);
    ASSERT_TRUE(id);
    EXPECT_EQ(id->inode(), sys::stat((*entry)->path)->st_ino);
    EXPECT_EQ((*entry)->path, directory().path(queue, *id));
    if (queue == deferred) { EXPECT_TRUE(is_in(defer, *id)); }
  }
  EXPECT_FALSE(sys::stat(root_ + "/hold/A"));
  EXPECT_EQ(warnings_, std::vector<std::string>{"bogus file name: active/12"});
  auto again = maintenance();
  ASSERT_TRUE(again.repair(kQueues, NameCheck::inode));
  EXPECT_EQ(again.counters().renamed, 0U);
}

TEST_F(MaintenanceTest, TwoFilesThatHaveEachOthersNamesBothSurvive) {
  const auto first = message(hold);
  const auto second = message(hold);
  // Same microseconds, swapped inodes.
  const auto wrong_first = *first.to_short(*second.inode());
  const auto wrong_second = *first.to_short(*first.inode());
  ASSERT_TRUE(sys::rename(directory().path(hold, first), root_ + "/a"));
  ASSERT_TRUE(sys::rename(directory().path(hold, second), directory().path(hold, wrong_second)));
  ASSERT_TRUE(sys::rename(root_ + "/a", directory().path(hold, wrong_first)));
  auto work = maintenance();
  ASSERT_TRUE(work.repair(kQueues, NameCheck::inode));
  const auto names = sys::list_directory(directory().path(hold));
  ASSERT_TRUE(names);
  EXPECT_EQ(names->size(), 2U);
  for (const auto& name : *names) {
    EXPECT_EQ(QueueId::parse(name)->inode(), sys::stat(root_ + "/hold/" + name)->st_ino) << name;
  }
}

TEST_F(MaintenanceTest, LongNamesStayWhenTheyAreEnabled) {
  file("active/4jXSyW1W2Rz1bcJh");
  auto keep = maintenance(queue::IdStyle::long_form);
  ASSERT_TRUE(keep.repair(kQueues, NameCheck::inode));
  EXPECT_TRUE(is_in(active, *QueueId::parse("4jXSyW1W2Rz1bcJh")));
  auto strict = maintenance(queue::IdStyle::long_form);
  ASSERT_TRUE(strict.repair(kQueues, NameCheck::inode_of_long_names));
  EXPECT_EQ(strict.counters().renamed, 1U);
}

TEST_F(MaintenanceTest, OnlyOldIncompleteFilesArePurged) {
  const auto incomplete = message(incoming, 0600);
  const auto complete = message(deferred);
  auto work = maintenance();
  const std::int64_t now = std::time(nullptr);
  ASSERT_TRUE(work.purge(kQueues, now + Maintenance::kLeftoverSeconds - 5));
  EXPECT_TRUE(is_in(incoming, incomplete));
  ASSERT_TRUE(work.purge(kQueues, now + Maintenance::kLeftoverSeconds + 5));
  EXPECT_FALSE(is_in(incoming, incomplete));
  EXPECT_TRUE(is_in(deferred, complete));
}

TEST_F(MaintenanceTest, ARepairPurgesOnTheWayAlsoWhatItHadToRename) {
  const auto incomplete = message(incoming, 0600);
  const auto complete = message(deferred);
  const std::string nursling = queue::Nursery(root_).directories().front() + "/123456.789";
  std::ofstream(nursling) << "x";
  auto work = maintenance();
  const std::int64_t now = std::time(nullptr);
  ASSERT_TRUE(work.repair(kQueues, NameCheck::inode, now + Maintenance::kLeftoverSeconds - 5));
  EXPECT_TRUE(is_in(incoming, incomplete));
  ASSERT_TRUE(work.repair(kQueues, NameCheck::inode, now + Maintenance::kLeftoverSeconds + 5));
  EXPECT_FALSE(is_in(incoming, incomplete));
  EXPECT_TRUE(is_in(deferred, complete));
  EXPECT_NE(::access(nursling.c_str(), F_OK), 0);
  file("incoming/ABCDE1234", 0600);
  ASSERT_TRUE(work.repair(kQueues, NameCheck::inode, now + Maintenance::kLeftoverSeconds + 5));
  EXPECT_EQ(work.counters().renamed, 1U);
  EXPECT_EQ(sys::list_directory(root_ + "/incoming")->size(), 0U);
}

TEST_F(MaintenanceTest, WhatACrashLeftBeforeItHadANameIsPurged) {
  const std::string path = queue::Nursery(root_).directories().front() + "/123456.789";
  std::ofstream(path) << "x";
  auto work = maintenance();
  const std::int64_t now = std::time(nullptr);
  ASSERT_TRUE(work.purge(kQueues, now + Maintenance::kLeftoverSeconds - 5));
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
  ASSERT_TRUE(work.purge(kQueues, now + Maintenance::kLeftoverSeconds + 5));
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace stagepost::postsuper
