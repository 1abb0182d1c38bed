#include "services/postlogd/log_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::postlogd {
namespace {

TEST(LogFile, OnlyBelowItsPrefixes) {
  char directory[] = "/tmp/stagepost-postlogd-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/log";
  EXPECT_FALSE(open_log_file(path, {"/var"}));
  EXPECT_FALSE(open_log_file(std::string(directory) + "/../x", {directory}));
  EXPECT_FALSE(open_log_file(std::string(directory) + "x", {directory}));
  const auto file = open_log_file(path, {"/var", directory});
  ASSERT_TRUE(file);
  EXPECT_EQ(sys::fstat(file->get())->st_mode & 0777U, 0600U);
  EXPECT_TRUE(open_log_file("/dev/stdout", {"/var", "/dev/stdout"}));
  ::unlink(path.c_str());
  ::rmdir(directory);
}

}  // namespace
}  // namespace stagepost::postlogd
