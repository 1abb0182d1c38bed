#include "commands/postqueue/options.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "base/argument_vector.hpp"

namespace stagepost::postqueue {
namespace {

std::optional<Options> parse(std::vector<std::string> words) {
  ArgumentVector arguments("postqueue", std::move(words));
  testing::internal::CaptureStderr();
  auto options = parse_options(arguments.count(), arguments.pointers());
  static_cast<void>(testing::internal::GetCapturedStderr());
  return options;
}

TEST(Options, ExactlyOneAction) {
  EXPECT_EQ(parse({"-p"})->action, Action::list);
  EXPECT_EQ(parse({"-j"})->action, Action::list_json);
  EXPECT_EQ(parse({"-f", "-v", "-c", "/x"})->action, Action::flush_all);
  EXPECT_EQ(parse({"-f", "-v", "-c", "/x"})->config_directory, "/x");
  EXPECT_EQ(parse({"-i", "ABC"})->site_or_id, "ABC");
  EXPECT_EQ(parse({"-s", "[1.2.3.4]"})->action, Action::flush_site);
  for (const auto& words : std::vector<std::vector<std::string>>{
           {}, {"-v"}, {"-x"}, {"-p", "x"}, {"-pj"}, {"-f", "-p"}, {"-j", "-i", "A"}, {"-i"}}) {
    EXPECT_FALSE(parse(words));
  }
}

TEST(Options, Sites) {
  for (const auto* good : {"example.com", "localhost", "[192.0.2.1]", "[IPv6:2001:db8::1]"}) {
    EXPECT_TRUE(is_site(good)) << good;
  }
  for (const auto* bad : {"", "a b", "-x", "[", "[host]", "a..b", "192.0.2.1x/", "1.2.3.4"}) {
    EXPECT_FALSE(is_site(bad)) << bad;
  }
}

}  // namespace
}  // namespace stagepost::postqueue
