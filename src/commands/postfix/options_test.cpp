// Command line of postfix(1), and where its messages go.
#include "commands/postfix/options.hpp"

#include <cstdlib>

#include <gtest/gtest.h>

#include "commands/postfix/announce.hpp"
#include "commands/postfix/log_rotation.hpp"
#include "commands/postfix/upgrade.hpp"

namespace stagepost::postfix {
namespace {

TEST(Options, OptionsStandBeforeTheCommand) {
  const auto options = parse_options({"-vDv", "-c", "/etc/mail", "stop", "-v"});
  ASSERT_TRUE(options.has_value());
  EXPECT_EQ(options->verbosity, 2U);
  EXPECT_TRUE(options->debug);
  EXPECT_EQ(options->config_directory, "/etc/mail");
  EXPECT_EQ(options->command, "stop");
  EXPECT_EQ(options->arguments, std::vector<std::string>{"-v"});
}

TEST(Options, MistakesAreErrors) {
  EXPECT_FALSE(parse_options({"-x", "start"}).has_value());
  EXPECT_FALSE(parse_options({"-c"}).has_value());
  EXPECT_FALSE(parse_options({"-c", "etc", "start"}).has_value()) << "relative";
}

TEST(Options, EveryCommandHasItsName) {
  EXPECT_EQ(command_named("start-fg"), Command::start_fg);
  EXPECT_EQ(command_named("set-permissions"), Command::set_permissions);
  EXPECT_FALSE(command_named("Start").has_value());
  EXPECT_FALSE(command_named("").has_value());
  EXPECT_EQ(nearest_command("relaod"), "reload");
  EXPECT_EQ(nearest_command("frobnicate"), "");
}

TEST(Options, ParametersBelongToSomeCommands) {
  const auto permissions = parse_options({"set-permissions", "a=b", "c"});
  EXPECT_EQ(permissions->parameters(), (std::vector<std::string>{"a=b", "c"})) << "c is a mistake to report";
  EXPECT_TRUE(parse_options({"start", "a=b"})->parameters().empty());
  const auto install = parse_options({"post-install", "a=b", "create-missing"});
  EXPECT_EQ(install->parameters(), std::vector<std::string>{"a=b"});
  EXPECT_EQ(install->post_install_action(), "create-missing");
}

TEST(LogRotation, NamesHaveTheTime) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  EXPECT_EQ(rotated_name("/var/log/mail", "%Y%m%d-%H%M%S", 0).value(), "/var/log/mail.19700101-000000");
  EXPECT_FALSE(rotated_name("/var/log/mail", "", 0));
  EXPECT_FALSE(rotated_name("/var/log/mail", "%D", 0)) << "has slashes";
}

TEST(Upgrade, AddsWhatIsMissing) {
  const auto master = config::parse_master_cf(
      "smtp inet n - n - - smtpd\nflush unix - - n 1000? 0 flush -o a=b\nrelay unix - - n - - smtp\n", "master.cf");
  ASSERT_TRUE(master.has_value());
  const auto upgrades = missing_services(*master);
  ASSERT_EQ(upgrades.size(), 11U);
  EXPECT_EQ(upgrades.front().what, "making the flush service public");
  const auto flush = config::parse_master_cf(upgrades.front().entry, "entry");
  ASSERT_TRUE(flush.has_value()) << upgrades.front().entry;
  EXPECT_FALSE(flush->services.front().private_);
  EXPECT_EQ(flush->services.front().overrides.size(), 1U);
  EXPECT_EQ(upgrades.back().entry, "postlog unix-dgram n - n - 1 postlogd");
}

}  // namespace
}  // namespace stagepost::postfix
