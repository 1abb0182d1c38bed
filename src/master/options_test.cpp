// Command lines: master's own, and the ones it writes for children.
#include "master/options.hpp"

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "master/child.hpp"
#include "master/lock_file.hpp"

namespace stagepost::master {
namespace {

TEST(Options, LettersCombineAndValuesMayBeAttached) {
  const auto options = parse_options({"-vvw", "-c/etc/mail", "-e", "30", "-d", "-c", "/x"});
  ASSERT_TRUE(options.has_value());
  EXPECT_EQ(options->verbosity, 2U);
  EXPECT_TRUE(options->wait);
  EXPECT_TRUE(options->keep_stdio);
  EXPECT_FALSE(options->init);
  EXPECT_EQ(options->config_directory, "/x");
  EXPECT_EQ(options->exit_time, std::chrono::seconds(30));
}

TEST(Options, EverythingElseIsTheUsageLine) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"-x"}, {"start"}, {"-c"}, {"-e", "soon"}, {"-"}}) {
    EXPECT_FALSE(parse_options(arguments).has_value()) << arguments.front();
  }
}

std::string command_line(const config::ServiceEntry& entry, const CommandLine& line) {
  return text::join(child_arguments(entry, line), " ");
}

TEST(ChildArguments, LookAsAdministratorsKnowThem) {
  config::ServiceEntry entry;
  entry.name = "smtp";
  entry.type = config::ServiceType::inet;
  entry.chroot = true;
  entry.command = "smtpd";
  entry.args = {"-o", "smtpd_tls_wrappermode=yes"};
  EXPECT_EQ(command_line(entry, {.maxproc = 100, .listeners = 2}),
            "smtpd -n smtp -t inet -u -c -s 2 -o smtpd_tls_wrappermode=yes");
  config::ServiceEntry pickup;
  pickup.name = pickup.command = "pickup";
  EXPECT_EQ(command_line(pickup, {.maxproc = 1}), "pickup -l -t unix -u");
  config::ServiceEntry local;
  local.name = "local";
  local.command = "/opt/lib/local";
  local.unprivileged = false;
  EXPECT_EQ(command_line(local, {.maxproc = 0, .verbosity = 2, .debug = true}), "local -z -t unix -v -v -D");
}

TEST(ChildEnvironment, HasWhatImportEnvironmentNames) {
  const auto config = config::Snapshot::from_text(
      "syslog_name = s\nimport_environment = TZ, { WORDS = a b } LANG=C PATH MAIL_CONFIG=/elsewhere, {}\n", "main.cf",
      {.config_directory = "/etc/postfix"});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(child_environment(**config, {"TZ=UTC", "TZX=1", "LD_PRELOAD=/x", "LANG=de", "WORDS=c"}),
            (std::vector<std::string>{"MAIL_CONFIG=/etc/postfix", "MAIL_LOGTAG=s", "TZ=UTC", "WORDS=a b", "LANG=C"}));
}

TEST(LockFile, HasTheFormatOtherProgramsRead) { EXPECT_EQ(lock_file_text(9109), std::string(28, ' ') + "9109\n"); }

}  // namespace
}  // namespace stagepost::master
