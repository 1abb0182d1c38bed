// Command line of postfix(1), and where its messages go.
#include "commands/postfix/options.hpp"

#include <gtest/gtest.h>

#include "commands/postfix/announce.hpp"

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

}  // namespace
}  // namespace stagepost::postfix
