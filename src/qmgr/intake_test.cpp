#include "qmgr/intake.hpp"

#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::qmgr {
namespace {

using queue::QueueName;
using Clock = std::chrono::system_clock;

class IntakeTest : public testing::Test {
 protected:
  IntakeTest() : root_(make_root()), directory_(root_, queue::Hashing{}), intake_(directory_) {
    EXPECT_TRUE(directory_.create_all({}));
  }

  static std::string make_root() {
    std::string path = testing::TempDir() + "intake_XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    return path;
  }

  void put(QueueName queue, const std::string& name, mode_t mode, std::chrono::seconds mtime_from_now) {
    const auto id = queue::QueueId::parse(name);
    ASSERT_TRUE(id);
    ASSERT_TRUE(directory_.make_hash_path(queue, *id));
    const std::string path = directory_.path(queue, *id);
    const auto fd = sys::open(path, O_CREAT | O_WRONLY, 0600);
    ASSERT_TRUE(fd);
    ASSERT_TRUE(sys::fchmod(fd->get(), mode));
    const timespec at{.tv_sec = Clock::to_time_t(Clock::now() + mtime_from_now), .tv_nsec = 0};
    const std::array times{at, at};
    ASSERT_EQ(::futimens(fd->get(), times.data()), 0);
  }

  std::vector<Candidate> all() {
    std::vector<Candidate> found;
    while (intake_.has_work()) {
      if (auto candidate = intake_.next(Clock::now())) { found.push_back(std::move(*candidate)); }
    }
    return found;
  }

  std::string root_;
  queue::QueueDirectory directory_;
  Intake intake_;
};

TEST_F(IntakeTest, HasNothingToDoUntilAsked) {
  put(QueueName::incoming, "AAAA1", 0700, std::chrono::seconds(-1));
  EXPECT_FALSE(intake_.has_work());
  EXPECT_FALSE(intake_.next(Clock::now()));
}

TEST_F(IntakeTest, SkipsIncompleteFilesAndThoseWhoseTimeHasNotCome) {
  put(QueueName::incoming, "AAAA1", 0700, std::chrono::seconds(-1));
  put(QueueName::incoming, "AAAA2", 0600, std::chrono::seconds(-1));
  put(QueueName::deferred, "BBBB1", 0700, std::chrono::seconds(-1));
  put(QueueName::deferred, "CCCC1", 0700, std::chrono::seconds(1000));
  intake_.scan_incoming();
  intake_.scan_deferred(Intake::Times::respect);
  const auto found = all();
  ASSERT_EQ(found.size(), 2U);
  std::set<std::string> names;
  for (const Candidate& candidate : found) { names.insert(candidate.id.str()); }
  EXPECT_EQ(names, (std::set<std::string>{"AAAA1", "BBBB1"}));
}

TEST_F(IntakeTest, AFlushIgnoresTimesForOneScan) {
  put(QueueName::deferred, "CCCC1", 0700, std::chrono::seconds(1000));
  intake_.scan_deferred(Intake::Times::ignore);
  const auto found = all();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].flushed);
  intake_.scan_deferred(Intake::Times::respect);
  EXPECT_TRUE(all().empty());
}

TEST_F(IntakeTest, NewMailAndRetriesTakeTurns) {
  for (int i = 0; i < 10; ++i) {
    put(QueueName::incoming, "AAAA" + std::to_string(i), 0700, std::chrono::seconds(-1));
    put(QueueName::deferred, "BBBB" + std::to_string(i), 0700, std::chrono::seconds(-1));
  }
  intake_.scan_incoming();
  intake_.scan_deferred(Intake::Times::respect);
  const auto found = all();
  ASSERT_EQ(found.size(), 20U);
  int deferred = 0;
  for (int i = 0; i < 10; ++i) { deferred += found[static_cast<std::size_t>(i)].from == QueueName::deferred ? 1 : 0; }
  EXPECT_EQ(deferred, 5);
}

TEST_F(IntakeTest, TooManyAnnouncementsBecomeAScan) {
  const auto id = queue::QueueId::parse("AAAA1");
  for (std::size_t i = 0; i < Intake::kAnnouncedLimit; ++i) { intake_.announce(*id); }
  put(QueueName::incoming, "AAAA9", 0700, std::chrono::seconds(-1));
  intake_.announce(*id);
  const auto found = all();
  ASSERT_EQ(found.size(), Intake::kAnnouncedLimit + 1);
  EXPECT_EQ(found.back().id.str(), "AAAA9");
}

}  // namespace
}  // namespace stagepost::qmgr
