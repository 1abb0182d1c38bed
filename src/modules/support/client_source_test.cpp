// Settings of table clients: from a file, and from main.cf.
#include "client_source.hpp"

#include <filesystem>
#include <fstream>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stagepost::maps {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

ClientSource source_of(std::string_view content) {
  auto source = ClientSource::parse(content, "/etc/x.cf", {});
  EXPECT_TRUE(source.has_value());
  return *std::move(source);
}

TEST(ClientSource, ReadsLinesAsMainCfHasThem) {
  const ClientSource source = source_of(
      "# comment\nhosts = a\n  b\n\n # more\n\tc\nquery=select '$x' -- #not a comment\nempty =\nhosts2=1\nhosts2=2\n");
  EXPECT_EQ(source.text("hosts"), "a  b\tc");
  EXPECT_EQ(source.text("query"), "select '$x' -- #not a comment");
  EXPECT_EQ(source.text("empty", "otherwise"), "");
  EXPECT_EQ(source.text("none", "otherwise"), "otherwise");
  EXPECT_EQ(source.text("hosts2"), "2");
  EXPECT_FALSE(source.find("none"));
}

TEST(ClientSource, NamesFileAndLineOfWhatIsNoAssignment) {
  const auto message = [](std::string_view content) {
    const auto source = ClientSource::parse(content, "/etc/x.cf", {});
    return source ? std::string("no error") : source.error().message();
  };
  EXPECT_THAT(message("a = 1\n\nfoo\n"), HasSubstr("/etc/x.cf, line 3: missing '=' after attribute name: \"foo\""));
  EXPECT_THAT(message("= foo\n"), HasSubstr("/etc/x.cf, line 1: missing attribute name"));
  EXPECT_THAT(message(std::string_view("a = \0b\n", 7)), HasSubstr("/etc/x.cf, line 1: NUL byte"));
  EXPECT_THAT(message("a = " + std::string(64 * 1024, 'x')), HasSubstr("/etc/x.cf, line 1: logical line longer"));
  EXPECT_THAT(message(std::string((1U << 20U) + 1, '#')), HasSubstr("/etc/x.cf: larger than"));
}

TEST(ClientSource, WarnsOfALineThatContinuesNothing) {
  std::vector<std::string> warnings;
  const auto source =
      ClientSource::parse(" a = 1\nb = 2\n", "/etc/x.cf", [&](std::string_view line) { warnings.emplace_back(line); });
  ASSERT_TRUE(source.has_value());
  EXPECT_FALSE(source->find("a"));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("logical line must not start with whitespace")));
}

TEST(ClientSource, TypedSettingsHaveDefaultsAndRanges) {
  const ClientSource source = source_of(
      "n = 5\nbig = 99999999999\nneg = -1\nword = x\nt = 2m\nt0 = 0\nt1 = 7\ntx = 1y\nyes = YES\nno = no\nempty =\n");
  EXPECT_EQ(source.number("none", 7).value(), 7);
  EXPECT_EQ(source.number("n", 7).value(), 5);
  EXPECT_EQ(source.number("n", 7, 5, 5).value(), 5);
  EXPECT_FALSE(source.number("n", 7, 6).has_value());
  EXPECT_FALSE(source.number("n", 7, 0, 4).has_value());
  EXPECT_FALSE(source.number("big", 7).has_value());
  EXPECT_FALSE(source.number("neg", 7).has_value());
  EXPECT_EQ(source.number("neg", 7, -1).value(), -1);
  EXPECT_THAT(source.number("word", 7).error().message(),
              HasSubstr("/etc/x.cf: bad numerical configuration: word = x"));
  EXPECT_EQ(source.time("none", 7s).value(), 7s);
  EXPECT_EQ(source.time("t", 7s).value(), 120s);
  EXPECT_EQ(source.time("t1", 9s).value(), 7s);
  EXPECT_FALSE(source.time("t0", 7s).has_value());
  EXPECT_EQ(source.time("t0", 7s, 0s).value(), 0s);
  EXPECT_FALSE(source.time("tx", 7s).has_value());
  EXPECT_FALSE(source.time("big", 7s).has_value());
  EXPECT_FALSE(source.time("empty", 7s).has_value());
  EXPECT_TRUE(source.flag("yes", false).value());
  EXPECT_FALSE(source.flag("no", true).value());
  EXPECT_TRUE(source.flag("none", true).value());
  EXPECT_THAT(source.flag("word", true).error().message(), HasSubstr("/etc/x.cf: bad boolean configuration: word = x"));
  EXPECT_THAT(source.required_text("none").error().message(), HasSubstr("/etc/x.cf: bad string length 0 < 1: none ="));
  EXPECT_FALSE(source.nonempty_text("empty", "x").has_value());
  EXPECT_EQ(source.nonempty_text("none", "x").value(), "x");
}

TEST(ClientSource, ANameWithoutASlashIsInMainCf) {
  ModuleContext context;
  context.warn = [](std::string_view) {};
  context.parameter = [](std::string_view name) -> std::optional<std::string> {
    if (name == "people_hosts") { return "h"; }
    return std::nullopt;
  };
  const auto source = ClientSource::open("people", context);
  ASSERT_TRUE(source.has_value());
  EXPECT_EQ(source->text("hosts"), "h");
  EXPECT_FALSE(source->find("dbname"));
  EXPECT_THAT(source->required_text("dbname").error().message(), HasSubstr("bad string length 0 < 1: people_dbname ="));
  EXPECT_FALSE(ClientSource::open("", context).has_value());
}

TEST(ClientSource, AMissingFileIsItsErrno) {
  ModuleContext context;
  context.warn = [](std::string_view) {};
  const auto missing = ClientSource::open("/nonexistent/x.cf", context);
  ASSERT_FALSE(missing.has_value());
  EXPECT_TRUE(missing.error().is(std::errc::no_such_file_or_directory));
  const std::string path = testing::TempDir() + "client_source.cf";
  std::ofstream(path) << "a = b\n";
  EXPECT_EQ(ClientSource::open(path, context).value().text("a"), "b");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace stagepost::maps
