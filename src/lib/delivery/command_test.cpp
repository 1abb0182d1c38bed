#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "delivery/command_line.hpp"
#include "delivery/command_run.hpp"
#include "log/log.hpp"

namespace stagepost::delivery {
namespace {

using Words = std::vector<std::string>;

TEST(CommandLine, OnlyShellSyntaxAndBuiltInsNeedAShell) {
  EXPECT_EQ(command_arguments("/usr/bin/procmail -a x", ""), (Words{"/usr/bin/procmail", "-a", "x"}));
  EXPECT_EQ(command_arguments(" /bin/cat\t", ""), (Words{"/bin/cat"}));
  for (const char* command : {"exit 67", "cat >file", "a;b", "echo \"$USER\"", "X=1 cmd", "a | b", "cat\nrm x", "",
                              "  ", "ls *", "while true", "! false", "echo 'x'", "foo@x", "\xc3\xa9"}) {
    EXPECT_EQ(command_arguments(command, ""), (Words{"/bin/sh", "-c", command})) << command;
  }
  EXPECT_EQ(command_arguments("/bin/true", "/bin/bash -c"), (Words{"/bin/bash", "-c", "/bin/true"}));
}

CommandEnd exited(int code, std::string output = {}) {
  return {.wait_status = code << 8, .timed_out = false, .output = std::move(output)};
}
std::string show(const CommandEnd& end) {
  const Outcome outcome = command_outcome(end, "cmd");
  const char* kind = outcome.kind == Kind::sent ? "sent " : outcome.kind == Kind::bounced ? "bounced " : "deferred ";
  return kind + outcome.status.code + " " + outcome.status.text;
}

TEST(ExitStatus, MeansWhatSysexitsSays) {
  EXPECT_EQ(show(exited(0)), "sent 2.0.0 ");
  EXPECT_EQ(show(exited(1)), "bounced 5.3.0 Command died with status 1: \"cmd\"");
  EXPECT_EQ(show(exited(64)), "bounced 5.3.0 command line usage error");
  EXPECT_EQ(show(exited(65)), "bounced 5.6.0 data format error");
  EXPECT_EQ(show(exited(67)), "bounced 5.1.1 user unknown");
  EXPECT_EQ(show(exited(71)), "deferred 4.3.0 system resource problem");
  EXPECT_EQ(show(exited(75)), "deferred 4.3.0 temporary failure");
  EXPECT_EQ(show(exited(77)), "bounced 5.7.0 permission denied");
  EXPECT_EQ(show(exited(78)), "bounced 5.3.5 local configuration error");
  EXPECT_EQ(show(exited(79)), "bounced 5.3.0 Command died with status 79: \"cmd\"");
  EXPECT_EQ(show({.wait_status = 9}), "deferred 4.3.0 Command died with signal 9: \"cmd\"");
  EXPECT_EQ(show({.wait_status = 9, .timed_out = true}), "bounced 5.3.0 Command time limit exceeded: \"cmd\"");
}

TEST(ExitStatus, OutputIsShownOnOneLine) {
  EXPECT_EQ(show(exited(75, "out put\nmore\n")), "deferred 4.3.0 temporary failure. Command output: out put more ");
  EXPECT_EQ(show(exited(65,
                        "a\tb\x01"
                        "c")),
            "bounced 5.6.0 data format error. Command output: a b_c");
  EXPECT_EQ(command_outcome(exited(65, "x"), "cmd").diagnostic_type, "x-unix");
  EXPECT_EQ(command_outcome(exited(65, "x"), "cmd").diagnostic, "x");
  EXPECT_EQ(command_outcome(exited(65), "cmd").diagnostic, "data format error");
}

TEST(ExitStatus, ACodeInFrontOfTheOutputOfAFailureCounts) {
  EXPECT_EQ(show(exited(1, "5.7.1 my text\n")), "bounced 5.7.1 my text ");
  EXPECT_EQ(show(exited(67, "4.7.1 my text\n")), "deferred 4.7.1 my text ");
  EXPECT_EQ(show(exited(75, "5.2.1\n")), "bounced 5.2.1 ");
  EXPECT_EQ(show(exited(1, "2.1.5 fine\n")), "bounced 5.0.0 fine ");
  EXPECT_EQ(show(exited(0, "5.7.1 my text\n")), "sent 2.0.0 ");
  EXPECT_EQ(show(exited(75, "5.2.1x\n")), "deferred 4.3.0 temporary failure. Command output: 5.2.1x ");
}

class Run : public testing::Test {
 protected:
  void SetUp() override {
    // SIGPIPE is ignored in every daemon.
    old_ = ::signal(SIGPIPE, SIG_IGN);
    log::capture([](log::Level, std::string_view) {});
  }
  void TearDown() override {
    ::signal(SIGPIPE, old_);
    log::capture({});
  }
  static Result<CommandEnd> run(const std::string& command, std::string_view input = "hello\n",
                                std::chrono::seconds limit = std::chrono::seconds(20)) {
    CommandPlan plan{.arguments = command_arguments(command, ""),
                     .environment = {"PATH=/usr/bin:/bin", "WHO=me"},
                     .identity = {65534, 65534},
                     .directory = "/",
                     .time_limit = limit};
    return run_command(plan, [&](ContentTarget& target) { return target.write(input); });
  }
  static std::string output(const std::string& command, std::string_view input = "hello\n") {
    const auto end = run(command, input);
    if (!end) { return end.error().message(); }
    return std::to_string(end->wait_status >> 8) + " " + end->output;
  }

 private:
  void (*old_)(int) = nullptr;
};

TEST_F(Run, GivesTheMessageAndTakesStatusAndOutput) {
  EXPECT_EQ(output("cat; echo \"$WHO\" >&2; pwd; exit 3"), "3 hello\nme\n/\n");
  EXPECT_EQ(output("/bin/cat"), "0 hello\n");
  if (::geteuid() == 0) { EXPECT_EQ(output("id -u; id -g; id -G"), "0 65534\n65534\n65534\n"); }
}

TEST_F(Run, ACommandThatDoesNotReadIsNoError) { EXPECT_EQ(output("exit 0", std::string(1 << 20, 'x')), "0 "); }

TEST_F(Run, MoreInputAndOutputThanPipesHoldDoesNotBlock) {
  const auto end = run("cat", std::string(1 << 20, 'x'));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->wait_status, 0);
  EXPECT_EQ(end->output.size(), 4096U);
}

TEST_F(Run, TheTimeLimitKillsTheWholeGroup) {
  const auto before = SteadyClock::now();
  const auto end = run("sleep 100 & sleep 100", "x", std::chrono::seconds(1));
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->timed_out);
  EXPECT_LT(SteadyClock::now() - before, std::chrono::seconds(30));
}

TEST_F(Run, ABackgroundProcessDoesNotHoldTheMail) {
  const auto before = SteadyClock::now();
  EXPECT_EQ(output("sleep 5 & exit 0"), "0 ");
  EXPECT_LT(SteadyClock::now() - before, std::chrono::seconds(4));
}

TEST_F(Run, WhatCannotBeExecutedIsTriedAgain) {
  EXPECT_EQ(output("/no/such/command"), "75 fatal: execvp /no/such/command: No such file or directory\n");
}

TEST_F(Run, AFailureOfTheQueueFileKillsTheCommand) {
  CommandPlan plan{.arguments = {"/bin/sleep", "100"}, .environment = {}, .identity = {65534, 65534}};
  const auto end = run_command(plan, [](ContentTarget&) -> Result<> { return failure("damaged"); });
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().context, "damaged");
}

TEST_F(Run, NothingRunsAsRoot) {
  if (::geteuid() != 0) { GTEST_SKIP() << "needs root"; }
  const CommandPlan plan{.arguments = {"/bin/true"}, .environment = {}, .identity = {0, 0}};
  EXPECT_FALSE(run_command(plan, [](ContentTarget&) -> Result<> { return {}; }));
}

}  // namespace
}  // namespace stagepost::delivery
