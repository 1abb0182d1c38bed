// postconf --explain, the table of descriptions behind it and the manual page made from the same.
#include "commands/postconf/explain.hpp"

#include <cstdlib>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "commands/postconf/manual_page.hpp"
#include "commands/postconf/parameter_texts.hpp"
#include "commands/postconf/postconf.hpp"
#include "config/registry.hpp"

namespace stagepost::postconf {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(ParameterTexts, EveryParameterHasOneAndNothingElseHas) {
  std::set<std::string_view> expected;
  for (const auto& parameter : config::parameters()) { expected.insert(parameter.name); }
  for (const auto& parameter : config::service_parameters()) { expected.insert(parameter.suffix); }
  std::set<std::string_view> described;
  for (const ParameterText& row : parameter_texts()) { described.insert(row.name); }
  std::vector<std::string_view> missing;
  std::ranges::set_difference(expected, described, std::back_inserter(missing));
  std::vector<std::string_view> surplus;
  std::ranges::set_difference(described, expected, std::back_inserter(surplus));
  EXPECT_THAT(missing, IsEmpty()) << "docs/parameters must describe these";
  EXPECT_THAT(surplus, IsEmpty()) << "docs/parameters describes what the registry does not have";
}

TEST(ParameterTexts, AreSortedSoThatTheyAreFound) {
  for (const ParameterText& row : parameter_texts()) { EXPECT_EQ(find_parameter_text(row.name), &row); }
  EXPECT_EQ(find_parameter_text("no_such_parameter"), nullptr);
  EXPECT_EQ(find_parameter_text(""), nullptr);
}

TEST(ParameterTexts, ReadersComeFromTheManualPages) {
  EXPECT_THAT(std::string(find_parameter_text("message_size_limit")->readers), HasSubstr("smtpd(8)"));
  EXPECT_THAT(std::string(find_parameter_text("max_use")->readers), HasSubstr("all daemons"));
  EXPECT_THAT(std::string(find_parameter_text("lmtp_connect_timeout")->readers), testing::StrEq("lmtp(8)"));
  EXPECT_THAT(std::string(find_parameter_text("_destination_concurrency_limit")->readers), HasSubstr("qmgr(8)"));
}

TEST(ParameterTexts, TypesAreNamedWithTheirRange) {
  using config::Parameter;
  using config::Type;
  EXPECT_EQ(describe_type(Parameter{.name = "a", .type = Type::boolean}), "yes or no");
  EXPECT_EQ(describe_type(Parameter{.name = "a", .type = Type::text}), "text");
  EXPECT_EQ(describe_type(Parameter{.name = "a", .type = Type::text, .minimum = 1}), "text, not empty");
  EXPECT_EQ(describe_type(Parameter{.name = "a", .type = Type::integer, .minimum = 1, .maximum = 9}),
            "integer, 1 to 9");
  EXPECT_EQ(describe_type(Parameter{.name = "a", .type = Type::integer, .minimum = 1}), "integer, at least 1");
  EXPECT_EQ(describe_type(Parameter{.name = "a", .type = Type::time, .time_unit = 'd', .minimum = 1}),
            "time, in days without a unit, at least 1 s");
}

TEST(ManualPage, HasEveryParameter) {
  const std::string page = manual_page();
  for (const auto& parameter : config::parameters()) {
    EXPECT_THAT(page, HasSubstr(".It Va " + std::string(parameter.name) + " Pq "));
  }
  EXPECT_THAT(page, HasSubstr(".It Ar service Ns Va _destination_rate_delay\n"));
}

class Explain : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "stagepost-explain-XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    write(
        "main.cf",
        "myhostname = mx.example.com\nmydomain = example.com\nmy_class = reject\nsmtpd_restriction_classes = my_class\n"
        "# a comment\nmydestination = $myhostname\nsmtpd_timeout = 1m\nsmtpd_timeout = 2m\n");
    write("master.cf",
          "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o smtpd_timeout=9s\n"
          "relay unix - - y - - smtp\n");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& name, std::string_view content) {
    ASSERT_TRUE(sys::replace_file(directory_ + "/" + name, content, 0644).has_value());
  }
  std::string text(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"-c", directory_});
    const auto output = run(arguments);
    return output ? output->text : "error: " + output.error().message();
  }

  std::string directory_;
};

TEST_F(Explain, ShowsWhereAValueComesFrom) {
  const std::string shown = text({"--explain", "smtpd_timeout"});
  EXPECT_THAT(shown, testing::StartsWith("smtpd_timeout\n    How long "));
  EXPECT_THAT(shown, HasSubstr("  type      time, in seconds without a unit, at least 1 s\n"));
  EXPECT_THAT(shown, HasSubstr("  default   ${stress?{10}:{300}}s\n"));
  EXPECT_THAT(shown, HasSubstr("  value     2m  (" + directory_ + "/main.cf, line 8)\n"));
  EXPECT_THAT(shown, HasSubstr("  service   submission/inet: 9s  (" + directory_ + "/master.cf, line 2)\n"));
  EXPECT_THAT(shown, HasSubstr("  read by   "));
  EXPECT_THAT(shown, HasSubstr("smtpd(8)"));
  EXPECT_THAT(shown, Not(HasSubstr("means")));
}

TEST_F(Explain, ExpandsAndKnowsAllKindsOfNames) {
  const std::string shown =
      text({"--explain=mydestination", "relay_domains", "my_class", "relay_destination_rate_delay", "forward_path"});
  EXPECT_THAT(shown,
              HasSubstr("  value     $myhostname  (" + directory_ + "/main.cf, line 6)\n  means     mx.example.com\n"));
  EXPECT_THAT(shown, HasSubstr("\n\nrelay_domains\n"));
  EXPECT_THAT(shown, HasSubstr("(the default)\n"));
  EXPECT_THAT(shown,
              HasSubstr("\nmy_class\n    A name that this configuration defines itself.\n  value     reject  ("));
  EXPECT_THAT(shown, HasSubstr("\nrelay_destination_rate_delay\n"));
  EXPECT_THAT(shown, HasSubstr("  default   $default_destination_rate_delay\n"));
}

TEST_F(Explain, AnOldNameLeadsToTheNewOne) {
  EXPECT_EQ(
      text({"--explain", "virtual_maps"}),
      "virtual_maps\n    An old name of virtual_alias_maps. Its value still counts where the new\n"
      "    name is not set.\n  value     (empty)  (the default)\n  see       postconf --explain virtual_alias_maps\n");
  write("main.cf", "fallback_relay = [a.example]\n");
  EXPECT_THAT(text({"--explain", "fallback_relay"}),
              HasSubstr("  value     [a.example]  (" + directory_ + "/main.cf, line 1)\n"));
}

TEST_F(Explain, AMistypedNameIsAnErrorThatSaysWhichWasMeant) {
  EXPECT_EQ(text({"--explain", "smtpd_timout"}),
            "error: unknown parameter: smtpd_timout (did you mean smtpd_timeout?)");
  EXPECT_EQ(text({"--explain", "mydomain", "zzz\n", "relay_destination_rate_dela"}),
            "error: unknown parameter: zzz?, relay_destination_rate_dela (did you mean relay_destination_rate_delay?)");
  EXPECT_EQ(text({"--explain"}), "error: --explain requires the name of a parameter");
}

TEST(ExplainRequest, IsOneFormOfTheCommandLineOnly) {
  EXPECT_FALSE(explain_request({}).has_value());
  EXPECT_FALSE(explain_request({"-c"}).has_value());
  EXPECT_FALSE(explain_request({"-c", "--explain"}).has_value());
  EXPECT_FALSE(explain_request({"-d", "--explain"}).has_value());
  EXPECT_FALSE(explain_request({"--explained"}).has_value());
  EXPECT_THAT(explain_request({"-c", "/x", "--explain", "a", "b"})->names, testing::ElementsAre("a", "b"));
}

}  // namespace
}  // namespace stagepost::postconf
