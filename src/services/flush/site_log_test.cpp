#include "services/flush/site_log.hpp"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "queue/lock.hpp"

namespace stagepost::flush {
namespace {

using queue::QueueId;
using queue::QueueName;

QueueId id(std::string_view text) { return *QueueId::parse(text); }

class SiteLog : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    directory_ = queue::QueueDirectory(root_, queue::Hashing{});
    ASSERT_TRUE(directory_.create_all({::getuid(), ::getgid(), ::getgid()}));
  }
  void TearDown() override { static_cast<void>(std::system(("rm -r " + root_).c_str())); }

  std::string send(std::string_view site) {
    std::string sent;
    const auto done = send_log(directory_, *log_name(site), [&sent](const QueueId& q) { sent += q.str() + " "; });
    EXPECT_TRUE(done);
    return sent;
  }
  [[nodiscard]] std::string log_path(std::string_view site) const {
    return directory_.path(QueueName::flush, *log_name(site));
  }

  std::string root_ = "/tmp/site_log.XXXXXX";
  queue::QueueDirectory directory_{"", queue::Hashing{}};
};

TEST(LogName, IsPostfixs) {
  EXPECT_EQ(log_name("Fast.Test")->str(), "fast_test");
  EXPECT_EQ(log_name("[192.0.2.1]")->str(), "_192_0_2_1_");
  EXPECT_EQ(log_name("../x")->str(), "___x");
  EXPECT_FALSE(log_name(""));
  EXPECT_FALSE(log_name(std::string(QueueId::kMaxOctets + 1, 'a')));
}

TEST_F(SiteLog, SendsEachMessageOnceAndForgetsIt) {
  for (const auto* q : {"AAAA1", "BBBB1", "AAAA1", "CCCC1"}) {
    ASSERT_TRUE(add_to_log(directory_, *log_name("fast.test"), id(q)));
  }
  EXPECT_EQ(send("FAST.test"), "AAAA1 BBBB1 CCCC1 ");
  EXPECT_EQ(send("fast.test"), "");
  EXPECT_EQ(send("other.test"), "");
}

TEST_F(SiteLog, SkipsLinesThatAreNoQueueIds) {
  std::ofstream(log_path("fast.test")) << "AAAA1\n../../etc\n\n" << std::string(5000, 'x') << "\nBBBB1\nCUT";
  EXPECT_EQ(send("fast.test"), "AAAA1 BBBB1 ");
}

TEST_F(SiteLog, TwoProcessesDoNotMix) {
  ASSERT_TRUE(add_to_log(directory_, *log_name("fast.test"), id("AAAA1")));
  const auto other = sys::open(log_path("fast.test"), O_RDWR);
  ASSERT_TRUE(other);
  ASSERT_TRUE(queue::try_lock(other->get()));
  const auto added = add_to_log(directory_, *log_name("fast.test"), id("BBBB1"));
  ASSERT_FALSE(added);
  EXPECT_TRUE(added.error().is(std::errc::resource_unavailable_try_again));
  ASSERT_TRUE(queue::unlock(other->get()));
  EXPECT_EQ(send("fast.test"), "AAAA1 ");
}

TEST_F(SiteLog, UpkeepFollowsTheTimesOfTheFile) {
  using std::chrono::hours;
  const UpkeepLimits limits{.refresh_time = hours(12), .purge_time = hours(168)};
  const auto log = *log_name("fast.test");
  const auto now = std::chrono::system_clock::now();
  ASSERT_TRUE(add_to_log(directory_, log, id("AAAA1")));
  const auto after = [&](hours time) { return *upkeep(directory_, log, limits, now + time); };
  EXPECT_EQ(after(hours(11)), Upkeep::keep);
  EXPECT_EQ(after(hours(13)), Upkeep::send);
  EXPECT_EQ(send("fast.test"), "AAAA1 ");
  EXPECT_EQ(after(hours(167)), Upkeep::keep);
  EXPECT_EQ(after(hours(169)), Upkeep::remove);
  ASSERT_TRUE(add_to_log(directory_, log, id("AAAA1")));
  ASSERT_TRUE(remove_empty_log(directory_, log));
  EXPECT_EQ(send("fast.test"), "AAAA1 ") << "it was not empty any more";
  ASSERT_TRUE(remove_empty_log(directory_, log));
  EXPECT_FALSE(upkeep(directory_, log, limits, now));
}

TEST_F(SiteLog, ReleaseMakesADeferredMessageDue) {
  const auto q = id("AAAA1");
  ASSERT_TRUE(directory_.make_hash_path(QueueName::deferred, q));
  const std::string path = directory_.path(QueueName::deferred, q);
  std::ofstream(path) << "x";
  const std::time_t later = std::time(nullptr) + 3600;
  const std::array<timespec, 2> times{timespec{.tv_sec = later}, timespec{.tv_sec = later}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times.data(), 0), 0);
  ASSERT_TRUE(directory_.make_hash_path(QueueName::defer, q));
  std::ofstream(directory_.path(QueueName::defer, q)) << "x";
  EXPECT_TRUE(*release(directory_, q));
  EXPECT_FALSE(sys::stat(directory_.path(QueueName::defer, q)));
  const auto st = sys::stat(directory_.path(QueueName::incoming, q));
  ASSERT_TRUE(st);
  EXPECT_LT(st->st_mtime, later - 1000);
  EXPECT_FALSE(*release(directory_, q));
}

}  // namespace
}  // namespace stagepost::flush
