// main.cf parsing and editing.
#include "config/main_cf.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace stagepost::config {
namespace {

TEST(LogicalLines, JoinContinuationsAcrossCommentsAndBlankLines) {
  const auto lines = split_logical_lines("# c\n\na = 1\n  # inside\n\n   more\n\tand\nb = 2", "f");
  ASSERT_TRUE(lines.has_value());
  ASSERT_EQ(lines->size(), 2U);
  EXPECT_EQ((*lines)[0].text, "a = 1   more\tand");
  EXPECT_EQ((*lines)[0].first_line, 3U);
  EXPECT_EQ((*lines)[0].last_line, 7U);
  EXPECT_EQ((*lines)[1].text, "b = 2");
  EXPECT_EQ((*lines)[1].first_line, 8U);
}

TEST(LogicalLines, LeadingWhiteSpaceIsLeftOutWithAWarning) {
  std::vector<std::string> warnings;
  const auto lines = split_logical_lines("  a = 1\nb = 2\n", "f", {}, &warnings);
  ASSERT_TRUE(lines.has_value());
  EXPECT_EQ(lines->size(), 1U);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0], "f, line 1: logical line must not start with whitespace: \"  a = 1\"");
}

TEST(LogicalLines, LimitsHoldFromBothSides) {
  const FileLimits limits{.file_bytes = 20, .logical_line_bytes = 8};
  EXPECT_TRUE(split_logical_lines("12345678\n", "f", limits).has_value());
  EXPECT_FALSE(split_logical_lines("123456789\n", "f", limits).has_value());
  EXPECT_TRUE(split_logical_lines("1234\n 678\n", "f", limits).has_value());
  EXPECT_FALSE(split_logical_lines("1234\n 6789\n", "f", limits).has_value());
  EXPECT_TRUE(split_logical_lines("#234567890123456789\n", "f", limits).has_value());
  EXPECT_FALSE(split_logical_lines("#2345678901234567890\n", "f", limits).has_value());
}

TEST(LogicalLines, NulIsAnError) {
  EXPECT_FALSE(split_logical_lines(std::string_view("a = \0b\n", 7), "f").has_value());
}

TEST(MainCf, ParsesSettingsInOrderWithLines) {
  const auto parsed = parse_main_cf("a=1\nb == x=y\r\n\nc =\n\t[d]:25\na = 2 # not a comment\n", "/etc/main.cf");
  ASSERT_TRUE(parsed.has_value());
  ASSERT_EQ(parsed->settings.size(), 4U);
  EXPECT_EQ(parsed->settings[1].name, "b");
  EXPECT_EQ(parsed->settings[1].value, "= x=y");
  EXPECT_EQ(parsed->settings[2].value, "[d]:25");
  EXPECT_EQ(parsed->settings[3].value, "2 # not a comment");
  EXPECT_EQ(parsed->settings[3].line, 6U);
}

TEST(MainCf, ErrorsNameFileAndLine) {
  const auto missing = parse_main_cf("a = 1\n\nfoo\n", "/etc/main.cf");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().context, "/etc/main.cf, line 3: missing '=' after attribute name: \"foo\"");
  EXPECT_FALSE(parse_main_cf("= x\n", "f").has_value());
  EXPECT_FALSE(parse_main_cf("my host = x\n", "f").has_value());
}

constexpr std::string_view kFile =
    "# top\nmyhostname = a\n  # inside\n   cont1\n# c2\n\n   cont2\n\nfoo = 1\nmid = 2\nfoo = 3\n#old = x\nrelayhost "
    "=\n"
    "\t[a]:25\n";

std::string edited(std::string_view content, std::vector<Edit> edits) {
  const auto result = edit_main_cf(content, "f", edits);
  EXPECT_TRUE(result.has_value());
  return result.value_or("");
}

TEST(EditMainCf, SetsInPlaceAndKeepsComments) {
  EXPECT_EQ(edited(kFile, {{Edit::Kind::set, "myhostname", "b"},
                           {Edit::Kind::set, "foo", "9"},
                           {Edit::Kind::set, "new", "a b"},
                           {Edit::Kind::set, "empty", ""},
                           {Edit::Kind::set, "relayhost", "x   y"}}),
            "# top\nmyhostname = b\n  # inside\n# c2\n\n\nfoo = 9\nmid = 2\nfoo = 9\n#old = x\nrelayhost = x   y\n"
            "new = a b\nempty = \n");
}

TEST(EditMainCf, RemovesWithContinuationLines) {
  EXPECT_EQ(
      edited(kFile, {{Edit::Kind::remove, "myhostname"}, {Edit::Kind::remove, "foo"}, {Edit::Kind::remove, "no"}}),
      "# top\n  # inside\n# c2\n\n\nmid = 2\n#old = x\nrelayhost =\n\t[a]:25\n");
}

TEST(EditMainCf, CommentsOutEveryLine) {
  EXPECT_EQ(edited(kFile, {{Edit::Kind::comment_out, "myhostname"}, {Edit::Kind::comment_out, "relayhost"}}),
            "# top\n#myhostname = a\n  # inside\n#   cont1\n# c2\n\n#   cont2\n\nfoo = 1\nmid = 2\nfoo = 3\n#old = x\n"
            "#relayhost =\n#\t[a]:25\n");
}

TEST(EditMainCf, AddsALineBreakBeforeAppending) {
  EXPECT_EQ(edited("a = 1", {{Edit::Kind::set, "b", "2"}}), "a = 1\nb = 2\n");
  EXPECT_EQ(edited("", {{Edit::Kind::set, "b", "2"}, {Edit::Kind::set, "b", "3"}}), "b = 3\n");
}

TEST(EditMainCf, RefusesBadNamesAndLineBreaks) {
  for (const Edit& edit :
       {Edit{Edit::Kind::set, "a b", "x"}, Edit{Edit::Kind::set, "", "x"}, Edit{Edit::Kind::set, "#a", "x"},
        Edit{Edit::Kind::set, "a", "x\ny"}, Edit{Edit::Kind::set, "a=b", "x"}}) {
    EXPECT_FALSE(edit_main_cf("", "f", std::span(&edit, 1)).has_value()) << edit.name;
  }
}

TEST(EditMainCf, FileKeepsItsPermissions) {
  std::string directory = testing::TempDir() + "stagepost-main-cf-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/main.cf";
  ASSERT_TRUE(sys::replace_file(path, "a = 1\n", 0640).has_value());
  const Edit edit{Edit::Kind::set, "a", "2"};
  ASSERT_TRUE(edit_main_cf_file(path, std::span(&edit, 1)).has_value());
  EXPECT_EQ(sys::read_file(path, 1000), "a = 2\n");
  EXPECT_EQ(sys::stat(path)->st_mode & 07777U, 0640U);
  EXPECT_EQ(sys::list_directory(directory)->size(), 1U);
  std::filesystem::remove_all(directory);
}

/// Files of every kind of line, in a random order that a seed fixes.
std::string random_file(std::mt19937& random, const std::vector<std::string>& names) {
  std::string text;
  const auto pick = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  static const std::vector<std::string> kValues = {"",    "x",     "a, b", "$myhostname", "${x?{y}:{z}}",
                                                   "#no", "a = b", "\"q"};
  for (std::size_t lines = pick(20); lines > 0; --lines) {
    const std::string& value = kValues[pick(kValues.size())];
    switch (pick(6)) {
      case 0:
        text += "# comment " + value + "\n";
        break;
      case 1:
        text += "   \t\n";
        break;
      case 2:
        text += text.empty() ? "\n" : "  more " + value + "\n";
        break;
      default:
        text += names[pick(names.size())] + (pick(2) != 0U ? " = " : "=") + value + "\n";
    }
  }
  // White space led text needs a line before it.
  text = "first = 1\n" + text;
  if (pick(4) == 0 && !text.empty()) { text.pop_back(); }
  return text;
}

std::string last_value(const MainCf& file, std::string_view name) {
  std::string value = "(unset)";
  for (const Setting& setting : file.settings) {
    if (setting.name == name) { value = setting.value; }
  }
  return value;
}

TEST(EditMainCf, WhateverTheFileAnEditGivesTheValueAndChangesNoOtherLine) {
  const std::vector<std::string> names = {"alpha", "beta", "gamma"};
  const std::vector<std::string> values = {"", "v", "new, value", "$beta", "${alpha?{x}}", "= x", "# y"};
  for (unsigned seed = 0; seed < 2000; ++seed) {
    std::mt19937 random(seed);
    const std::string before = random_file(random, names);
    const std::string& name = names[random() % names.size()];
    const std::string& value = values[random() % values.size()];
    const auto kind = static_cast<Edit::Kind>(random() % 3);
    const std::vector<Edit> edits{{kind, name, kind == Edit::Kind::set ? value : ""}};
    const auto after = edit_main_cf(before, "main.cf", edits);
    ASSERT_TRUE(after.has_value()) << seed;
    const auto old_file = parse_main_cf(before, "main.cf");
    const auto new_file = parse_main_cf(*after, "main.cf");
    ASSERT_TRUE(old_file && new_file) << seed << "\n" << *after;
    EXPECT_EQ(last_value(*new_file, name), kind == Edit::Kind::set ? value : "(unset)") << seed << "\n" << *after;
    for (const std::string& other : names) {
      if (other != name) { EXPECT_EQ(last_value(*new_file, other), last_value(*old_file, other)) << seed; }
    }
    // Lines that do not belong to the name are all there, in their order.
    std::vector<std::string> kept;
    bool concerned = false;
    for (const std::string_view line : text::split_exact(before, '\n')) {
      const std::string_view trimmed = text::trim(line);
      if (trimmed.empty() || trimmed.front() == '#') {
        if (!trimmed.empty()) { kept.emplace_back(line); }
        continue;
      }
      if (!text::is_space(line.front())) { concerned = text::trim(line.substr(0, line.find('='))) == name; }
      if (!concerned) { kept.emplace_back(line); }
    }
    const auto lines = text::split_exact(*after, '\n');
    auto at = lines.begin();
    for (const std::string& line : kept) {
      at = std::find(at, lines.end(), std::string_view(line));
      ASSERT_NE(at, lines.end()) << seed << ": lost \"" << line << "\"\n" << *after;
      ++at;
    }
    // The same edit again changes nothing.
    if (kind == Edit::Kind::set) { EXPECT_EQ(edit_main_cf(*after, "main.cf", edits).value(), *after) << seed; }
  }
}

}  // namespace
}  // namespace stagepost::config
