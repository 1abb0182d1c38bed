#include "mail/mime.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "mail/mime_content_type.hpp"

namespace stagepost::mail {
namespace {

/// Writes one line per event: "P Subject: x", "M ...", "N ..." for fields, "-" for the end of a header, "|text" for
/// body lines,
/// "!problem".
class Recorder : public MimeSink {
 public:
  void on_header(HeaderClass header_class, const HeaderField& field, std::string_view text) override {
    EXPECT_FALSE(field.name.empty());
    log += header_class == HeaderClass::primary ? "P " : header_class == HeaderClass::mime ? "M " : "N ";
    for (const char c : text) { log += c == '\n' ? '$' : c; }
    log += '\n';
  }
  void on_header_end(HeaderClass) override { log += "-\n"; }
  void on_body(Line line) override {
    log += in_line_ ? "" : "|";
    log += line.text;
    log += line.end == LineEnd::complete ? "\n" : "";
    in_line_ = line.end == LineEnd::partial;
  }
  void on_problem(MimeProblem problem, std::string_view) override { problems.push_back(problem); }

  std::string log;
  std::vector<MimeProblem> problems;

 private:
  bool in_line_ = false;
};

Recorder run(std::string_view message, const MimeOptions& options = {}, std::size_t piece = 1000) {
  Recorder recorder;
  MimeParser parser(options, recorder);
  const auto lines = text::split_exact(message, '\n');
  for (std::string_view line : lines) {
    while (line.size() > piece) {
      parser.feed({line.substr(0, piece), LineEnd::partial});
      line.remove_prefix(piece);
    }
    parser.feed({line, LineEnd::complete});
  }
  parser.finish();
  return recorder;
}

struct Case {
  std::string message;
  std::string log;
};

void check(const std::vector<Case>& cases, const MimeOptions& options = {}) {
  for (const auto& c : cases) {
    for (const std::size_t piece : {1UL, 2UL, 3UL, 7UL, 1000UL}) {
      EXPECT_EQ(run(c.message, options, piece).log, c.log) << c.message << "\nin pieces of " << piece;
    }
  }
}

// What is a header field, and of which class, was learnt from the header_checks of Postfix 3.7.11.
TEST(Mime, FindsHeadersAndBoundariesAsPostfixDoes) {
  check({
      {"Subject: x\n\nb", "P Subject: x\n-\n|\n|b\n"},
      {"Subject : x\nY:\n z\n\t\n\nb", "P Subject: x\nP Y:$ z$\t\n-\n|\n|b\n"},
      {"Subject: x\nnot a header\nY: 2", "P Subject: x\n-\n|not a header\n|Y: 2\n"},
      {" x\nSubject: y", "-\n|\x20x\n|Subject: y\n"},
      {"A b: x", "-\n|A b: x\n"},
      {": x", "-\n|: x\n"},
      {"A\xe9: x", "-\n|A\xe9: x\n"},
      {"Content-Type: multipart/mixed; boundary=\"ab\"\n\npre\n--ab\nContent-Type: text/plain\nX-a: b\n c\n\nbody: x\n"
       "--abc\nX: y\n\nb2\n--ab--\nepi: x\n--ab\nX: z",
       "M Content-Type: multipart/mixed; boundary=\"ab\"\n-\n|\n|pre\n|--ab\nM Content-Type: text/plain\nM X-a: b$ "
       "c\n-\n"
       "|\n|body: x\n|--abc\nM X: y\n-\n|\n|b2\n|--ab--\n|epi: x\n|--ab\n|X: z\n"},
      {"Content-Type: multipart/mixed (c); (d) boundary = (e)\"a b\" ; x\n\n--a b\nA: b\n\n--a b--\nB: c",
       "M Content-Type: multipart/mixed (c); (d) boundary = (e)\"a b\" ; x\n-\n|\n|--a b\nM A: b\n-\n|\n|--a b--\n|B: "
       "c\n"},
      {"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/x; boundary=b\n\n--b\nX: "
       "1\n\n--a\nY: 2\n\n"
       "--b\nZ: 3",
       "M Content-Type: multipart/mixed; boundary=a\n-\n|\n|--a\nM Content-Type: multipart/x; "
       "boundary=b\n-\n|\n|--b\nM X: 1\n"
       "-\n|\n|--a\nM Y: 2\n-\n|\n|--b\n|Z: 3\n"},
      {"Content-Type: message/rfc822\n\nSubject: in\nContent-Type: message/rfc822\n\nB: 2\n\nbody",
       "M Content-Type: message/rfc822\n-\n|\nN Subject: in\nM Content-Type: message/rfc822\n-\n|\nN B: "
       "2\n-\n|\n|body\n"},
      {"Content-Type: message/partial\n\nSubject: in", "M Content-Type: message/partial\n-\n|\n|Subject: in\n"},
      {"Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: in\n\nbody\n--a\nContent-Type: text/plain\n\nS: "
       "x",
       "M Content-Type: multipart/digest; boundary=a\n-\n|\n|--a\n-\n|\nN Subject: in\n-\n|\n|body\n|--a\nM "
       "Content-Type: "
       "text/plain\n-\n|\n|S: x\n"},
      {"Content-Type: multipart/mixed; boundary=a\n\n--a\nX: 1\n--a\nY: 2",
       "M Content-Type: multipart/mixed; boundary=a\n-\n|\n|--a\nM X: 1\n-\n|--a\nM Y: 2\n-\n"},
      {"Content-Type: multipart/mixed\n\n--a\nX: 1", "M Content-Type: multipart/mixed\n-\n|\n|--a\n|X: 1\n"},
      {"Content-Type: multipart/mixed; boundary=\"\"\n\n--\nX: 1",
       "M Content-Type: multipart/mixed; boundary=\"\"\n-\n|\n|--\n|X: 1\n"},
      {"Content-Type: MULTIPART/Mixed; BOUNDARY=Ab\n\n--ab\n-\n--Ab\nY: 1",
       "M Content-Type: MULTIPART/Mixed; BOUNDARY=Ab\n-\n|\n|--ab\n|-\n|--Ab\nM Y: 1\n-\n"},
      {"", "-\n|\n"},
  });
}

TEST(Mime, DisabledMimeLeavesEverythingAfterTheHeaderAlone) {
  check({{"Content-Type: multipart/mixed; boundary=a\n\n--a\nX: 1",
          "M Content-Type: multipart/mixed; boundary=a\n-\n|\n|--a\n|X: 1\n"}},
        {.disable_mime = true});
}

TEST(Mime, HeaderSizeLimitCutsTheField) {
  check({{"X: 34567890\n more\nY: z\n\n", "P X: 34567\nP Y: z\n-\n|\n|\n"}}, {.header_size_limit = 8});
  const MimeOptions options{.header_size_limit = 8, .report_truncated_header = true};
  EXPECT_EQ(run("X: 34567\n", options).problems.size(), 0U);
  EXPECT_EQ(run("X: 345678\n", options).problems, std::vector{MimeProblem::truncated_header});
}

TEST(Mime, NestingIsLimited) {
  std::string message;
  for (int i = 0; i < 5; ++i) { message += "Content-Type: message/rfc822\n\n"; }
  message += "X: y\n\n";
  const MimeOptions options{.mime_nesting_limit = 4, .report_nesting = true};
  EXPECT_EQ(run(message, options).problems, std::vector{MimeProblem::nesting});
  EXPECT_TRUE(run(message, {.mime_nesting_limit = 5, .report_nesting = true}).problems.empty());
}

TEST(Mime, BoundariesAreComparedUpToTheLimit) {
  check({{"Content-Type: multipart/x; boundary=abcdef\n\n--abXX\nX: 1",
          "M Content-Type: multipart/x; boundary=abcdef\n-\n|\n|--abXX\nM X: 1\n-\n"}},
        {.mime_boundary_length_limit = 2});
}

TEST(Mime, ReportsEightBitDataWhereItMustNotBe) {
  const MimeOptions strict{
      .report_eight_bit_in_header = true, .report_eight_bit_in_7bit_body = true, .report_encoding_domain = true};
  EXPECT_EQ(run("Subject: \xc3\xa9\n\nb", strict).problems, std::vector{MimeProblem::eight_bit_in_header});
  EXPECT_EQ(run("S: x\n\n12345678\xe9", strict).problems, std::vector{MimeProblem::eight_bit_in_7bit_body});
  EXPECT_TRUE(run("Content-Transfer-Encoding: 8bit\n\n\xe9", strict).problems.empty());
  EXPECT_EQ(run("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nS: x", strict).problems,
            std::vector{MimeProblem::encoding_domain});
}

TEST(Mime, DowngradeTurnsEightBitPartsIntoQuotedPrintable) {
  check({{"Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\nX: y\n\na=b \xc3\xa9 \n\nend",
          "M Content-Type: text/plain\nP X: y\nM Content-Transfer-Encoding: quoted-printable\n-\n|\n|a=3Db "
          "=C3=A9=20\n|\n|end\n"},
         {"Content-Type: multipart/x; boundary=b\nContent-Transfer-Encoding: "
          "8BIT\n\np\xe9\n--b\nContent-Transfer-Encoding: 8bit\n\n\xe9\n"
          "--b\n\n7bit=\n--b--",
          "M Content-Type: multipart/x; boundary=b\nM Content-Transfer-Encoding: 7bit\n-\n|\n|p\xe9\n|--b\nM "
          "Content-Transfer-Encoding: quoted-printable\n-\n|\n|=E9\n|--b\n-\n|\n|7bit=\n|--b--\n"},
         {"Content-Transfer-Encoding: 8bit\n\n" + std::string(80, 'x'),
          "M Content-Transfer-Encoding: quoted-printable\n-\n|\n|" + std::string(73, 'x') + "=\n|xxxxxxx\n"}},
        {.downgrade = true});
}

TEST(ContentType, TakesTheBoundary) {
  EXPECT_EQ(parse_content_type("multipart/mixed; boundary=a/b=c", 100).boundaries, std::vector<std::string>{"a/b=c"});
  EXPECT_EQ(parse_content_type("multipart/mixed; x=\"; boundary=no\"; boundary=yes", 100).boundaries,
            std::vector<std::string>{"yes"});
  EXPECT_TRUE(parse_content_type("multipart", 100).boundaries.empty());
  EXPECT_TRUE(parse_content_type("message/RFC822", 100).holds_message);
  EXPECT_EQ(first_token(" (c) 8BIT ; x"), "8BIT");
}

}  // namespace
}  // namespace stagepost::mail
