#include "queue/directory.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <set>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::queue {
namespace {

class DirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "queueXXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  static void touch(const std::string& path) { std::ofstream(path) << "x"; }
  Owners self() const { return {::getuid(), ::getgid(), ::getgid()}; }
  std::string root_;
};

QueueId id(std::string_view text) { return *QueueId::parse(text); }

TEST_F(DirectoryTest, HashPathFollowsNamesAndDepth) {
  const QueueDirectory one("q", Hashing{});
  EXPECT_EQ(one.path(QueueName::deferred, id("E8BEFA7408B")), "q/deferred/E/E8BEFA7408B");
  EXPECT_EQ(one.path(QueueName::defer, id("4jXSyW1W2Rz1bcJh")), "q/defer/3/4jXSyW1W2Rz1bcJh");
  EXPECT_EQ(one.path(QueueName::active, id("E8BEFA7408B")), "q/active/E8BEFA7408B");
  const QueueDirectory four("q", Hashing{.names = {"incoming"}, .depth = 4});
  EXPECT_EQ(four.path(QueueName::incoming, id("AB")), "q/incoming/A/B/_/_/AB");
  EXPECT_EQ(four.path(QueueName::deferred, id("AB")), "q/deferred/AB");
}

TEST_F(DirectoryTest, CreatesTheLayoutOnceAndLeavesItAloneLater) {
  const QueueDirectory directory(root_ + "/spool", Hashing{});
  ASSERT_TRUE(directory.create_all(self()));
  EXPECT_EQ(sys::stat(root_ + "/spool/maildrop")->st_mode & 07777U, 0730U);
  EXPECT_EQ(sys::stat(root_ + "/spool/public")->st_mode & 07777U, 0710U);
  EXPECT_EQ(sys::stat(root_ + "/spool/active")->st_mode & 07777U, 0700U);
  EXPECT_EQ(sys::stat(root_ + "/spool/pid")->st_mode & 07777U, 0755U);
  ASSERT_EQ(::chmod((root_ + "/spool/hold").c_str(), 0750), 0);
  ASSERT_TRUE(directory.create_all(self()));
  EXPECT_EQ(sys::stat(root_ + "/spool/hold")->st_mode & 07777U, 0750U);
  for (const auto queue : kAllQueues) {
    EXPECT_TRUE(sys::stat(directory.path(queue))) << to_string(queue);
    EXPECT_EQ(queue_name(to_string(queue)), queue);
  }
  EXPECT_EQ(queue_name("nosuch"), std::nullopt);
}

TEST_F(DirectoryTest, MovesIntoHashDirectoriesThatDoNotExistYet) {
  const QueueDirectory directory(root_, Hashing{.names = {"deferred"}, .depth = 2});
  ASSERT_TRUE(directory.create_all(self()));
  touch(directory.path(QueueName::active, id("ABCDE12")));
  ASSERT_TRUE(directory.move(id("ABCDE12"), QueueName::active, QueueName::deferred));
  EXPECT_TRUE(sys::stat(root_ + "/deferred/A/B/ABCDE12"));
  const auto missing = directory.move(id("ABCDE13"), QueueName::active, QueueName::deferred);
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().is(std::errc::no_such_file_or_directory));
  ASSERT_TRUE(directory.remove(QueueName::deferred, id("ABCDE12")));
  EXPECT_FALSE(directory.remove(QueueName::deferred, id("ABCDE12")));
}

TEST_F(DirectoryTest, ScanSeesEveryFileOnceAtAnyDepthAndNothingElse) {
  const QueueDirectory directory(root_, Hashing{});
  ASSERT_TRUE(directory.create_all(self()));
  std::set<std::string> expected;
  for (const char* path : {"A1", "A/A2", "A/B/AB3", "A/B/C/ABC4", "name.with.dots"}) {
    const std::string full = directory.path(QueueName::deferred) + '/' + path;
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    touch(full);
    expected.insert(full);
  }
  std::filesystem::create_directories(directory.path(QueueName::deferred) + "/longname");
  touch(directory.path(QueueName::deferred) + "/longname/x");
  std::set<std::string> seen;
  QueueScan scan(directory, QueueName::deferred);
  for (;;) {
    const auto entry = scan.next();
    ASSERT_TRUE(entry) << entry.error().message();
    if (!*entry) { break; }
    EXPECT_EQ((*entry)->path, directory.path(QueueName::deferred) + '/' + (*entry)->hash_path + (*entry)->name);
    EXPECT_TRUE(seen.insert((*entry)->path).second);
  }
  EXPECT_EQ(seen, expected);
}

TEST_F(DirectoryTest, ScanOfAMissingQueueIsAnError) {
  const QueueDirectory directory(root_ + "/none", Hashing{});
  QueueScan scan(directory, QueueName::hold);
  EXPECT_FALSE(scan.next());
}

}  // namespace
}  // namespace stagepost::queue
