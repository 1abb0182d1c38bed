#include "config/debugger.hpp"

#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "log/log.hpp"

namespace stagepost::config {
namespace {

SnapshotPtr with_command(const std::string& command) {
  const auto config = Snapshot::from_text("debugger_command = " + command + "\n", "main.cf", {.process_name = "smtpd"});
  EXPECT_TRUE(config);
  return config.value_or(nullptr);
}

TEST(Debugger, RunsTheCommandWithTheNameAndNumberOfTheProcess) {
  const std::string file = ::testing::TempDir() + "stagepost_debugger";
  run_debugger(*with_command("echo $process_name $process_id $$0 > " + file));
  EXPECT_EQ(sys::read_file(file, 1000).value_or(""), "smtpd " + std::to_string(::getpid()) + " sh\n");
}

TEST(Debugger, InheritsNoDescriptors) {
  const std::string file = ::testing::TempDir() + "stagepost_debugger";
  const int left_open = ::dup(0);
  ASSERT_GT(left_open, 2);
  run_debugger(*with_command("ls /proc/self/fd | wc -l > " + file));
  ::close(left_open);
  // Three standard ones and the directory that is listed.
  EXPECT_EQ(sys::read_file(file, 1000).value_or(""), "4\n");
}

TEST(Debugger, AFailureIsLoggedAndAnEmptyCommandIsNothing) {
  std::string logged;
  log::capture([&](log::Level, std::string_view text) { logged += text; });
  run_debugger(*with_command(""));
  EXPECT_EQ(logged, "");
  run_debugger(*with_command("exit 3"));
  EXPECT_NE(logged.find("debugger_command failed"), std::string::npos);
  log::capture({});
}

}  // namespace
}  // namespace stagepost::config
