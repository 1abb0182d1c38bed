#include "services/postlogd/log_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"

namespace stagepost::postlogd {
namespace {

TEST(LogFile, LinesCannotBeForged) {
  std::string lines;
  append_line(lines, "Nov 22 host postfix/x[1]: a\nNov 22 host postfix/qmgr[2]: b\r");
  append_line(lines, "x\n");
  EXPECT_EQ(lines, "Nov 22 host postfix/x[1]: a?Nov 22 host postfix/qmgr[2]: b?\nx\n");
}

TEST(LogFile, OneDatagramMayHoldSeveralLines) {
  std::string lines;
  append_lines(lines,
               "\x1e"
               "one\ntwo\x07\nthree");
  append_lines(lines, "a\nb");
  EXPECT_EQ(lines, "one\ntwo?\nthree\na?b\n");
}

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
