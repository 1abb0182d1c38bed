#include "mail/content_lines.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace stagepost::mail {
namespace {

using Dots = DecoderOptions::Dots;

struct Decoded {
  std::string lines;  // each line in [], a piece in [ without ]
  std::size_t consumed = 0;
  bool ended = false;
  ContentReport report;
};

Decoded decode(std::string_view input, const DecoderOptions& options, std::size_t chunk) {
  ContentDecoder decoder(options);
  Decoded result;
  const auto sink = [&result](Line line) {
    result.lines += '[';
    result.lines += line.text;
    result.lines += line.end == LineEnd::complete ? "]" : "";
  };
  while (!decoder.ended() && result.consumed < input.size()) {
    result.consumed += decoder.feed(input.substr(result.consumed, chunk), sink);
  }
  if (!decoder.ended()) { decoder.finish(sink); }
  result.ended = decoder.ended();
  result.report = decoder.report();
  return result;
}

struct DecodeCase {
  std::string input;
  std::string lines;
  bool ended;
};

void check(const std::vector<DecodeCase>& cases, const DecoderOptions& options) {
  for (const auto& c : cases) {
    for (const std::size_t chunk : {1UL, 2UL, 3UL, 5UL, 100UL}) {
      const Decoded got = decode(c.input, options, chunk);
      EXPECT_EQ(got.lines, c.lines) << c.input << " in chunks of " << chunk;
      EXPECT_EQ(got.ended, c.ended) << c.input;
    }
  }
}

TEST(ContentDecoder, AllowingBareNewlinesDoesAsPostfixDoes) {
  check({{"abc\r\r\ndef\r\n.\r\n", "[abc][def]", true},
         {"a\rb\r\n..dot\r\n.x\r\n...\r\n.\r\n", "[a\rb][.dot][x][..]", true},
         {"a\n.\n", "[a]", true},
         {"a\n.\r\n", "[a]", true},
         {"a\r\n.\n", "[a]", true},
         {"a\r\n.\r\r\n", "[a]", true},
         {".\r\n", "", true},
         {"\r\n\r\n.\r\n", "[][]", true},
         {"a", "[a]", false}},
        {});
}

TEST(ContentDecoder, OnlyCrLfDotCrLfEndsAMessageOtherwise) {
  for (const BareNewline policy : {BareNewline::normalize, BareNewline::note, BareNewline::reject}) {
    check({{"a\r\n.\r\n", "[a]", true},
           {".\r\n", "", true},
           {"a\n.\n", "[a][]", false},
           {"a\n.\r\nb\r\n.\r\n", "[a][][b]", true},
           {"a\r\n.\nb\r\n.\r\n", "[a][][b]", true},
           {"a\r\n.\r\r\n.\r\n", "[a][\r]", true},
           {"abc\r\r\n.\r\n", "[abc\r]", true}},
          {.bare_newline = policy});
  }
}

TEST(ContentDecoder, PlainInputKeepsDots) {
  check({{".\r\n..\r\na", "[.][..][a]", false}}, {.dots = Dots::plain});
  check({{".a\n..\n.\nb", "[.a][..]", true}}, {.dots = Dots::local});
  check({{"a\r\n", "[a\r]", false}}, {.dots = Dots::plain, .crlf = false});
}

TEST(ContentDecoder, LongLinesComeInPiecesOfTheLimit) {
  check({{"abcd\r\n.\r\n", "[abcd]", true},
         {"abcde\r\n.\r\n", "[abcd[e]", true},
         {"abcdefgh\r\n.\r\n", "[abcd[efgh]", true},
         {"abcdefghi\r\n.\r\n", "[abcd[efgh[i]", true},
         {".abcd\r\n.\r\n", "[abcd]", true},
         {"..bcdefg\r\n.\r\n", "[.bcd[efg]", true},
         {"abcd.\r\n.\r\n", "[abcd[.]", true},
         {"abcdefgh.", "[abcd[efgh[.]", false}},
        {.line_length_limit = 4});
}

TEST(ContentDecoder, ReportsWhatItSaw) {
  EXPECT_TRUE(decode("a\n", {}, 9).report.bare_lf);
  EXPECT_FALSE(decode("a\r\n", {}, 9).report.bare_lf);
  EXPECT_TRUE(decode("a\rb\r\n", {}, 1).report.bare_cr);
  EXPECT_FALSE(decode("a\r\n", {}, 1).report.bare_cr);
  EXPECT_TRUE(decode(std::string("a\0b\r\n", 5), {}, 9).report.nul);
  EXPECT_TRUE(decode("abc\r\n", {.line_length_limit = 2}, 9).report.long_line);
  EXPECT_EQ(decode("a\r\nb\r\n.\r\n", {}, 9).report.lines, 2U);
}

TEST(ContentDecoder, LeavesWhatFollowsTheEnd) {
  const Decoded got = decode("a\r\n.\r\nQUIT\r\n", {}, 100);
  EXPECT_EQ(got.consumed, 6U);
}

TEST(ContentEncoder, DoublesDotsAndEndsLinesWithCrLf) {
  ContentEncoder encoder;
  std::string out;
  encoder.append({".a", LineEnd::complete}, out);
  encoder.append({"b", LineEnd::partial}, out);
  encoder.append({".c", LineEnd::complete}, out);
  encoder.append_text("..\nx\n.y", out);
  encoder.append_text("z", out);
  encoder.finish(out);
  EXPECT_EQ(out, "..a\r\nb.c\r\n...\r\nx\r\n..yz\r\n.\r\n");
}

TEST(ContentEncoder, BreaksLinesAtTheLimit) {
  ContentEncoder encoder({.line_length_limit = 5});
  std::string out;
  encoder.append({"12345", LineEnd::complete}, out);
  encoder.append({"1234567890", LineEnd::complete}, out);
  EXPECT_EQ(out, "12345\r\n12345\r\n 6789\r\n 0\r\n");
}

TEST(ContentEncoder, CutsDoNotDependOnThePieces) {
  ContentEncoder encoder({.line_length_limit = 1});
  std::string out;
  for (const char c : std::string_view("abc\n.d")) { encoder.append_text({&c, 1}, out); }
  encoder.finish(out);
  EXPECT_EQ(out, "ab\r\n c\r\n..d\r\n.\r\n");
}

TEST(ContentEncoder, DecoderUndoesIt) {
  ContentEncoder encoder;
  std::string out;
  encoder.append_text("a\n.\n..b\n\n", out);
  encoder.finish(out);
  EXPECT_EQ(decode(out, {.bare_newline = BareNewline::reject}, 3).lines, "[a][.][..b][]");
}

}  // namespace
}  // namespace stagepost::mail
