// The MIME machine: same events however lines are cut; without downgrade, the output holds the input's text unchanged
// apart from white space before a field's colon and what header_size_limit cuts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "mail/mime.hpp"

namespace {

using namespace stagepost::mail;

class Recorder : public MimeSink {
 public:
  void on_header(HeaderClass header_class, const HeaderField& field, std::string_view text) override {
    SP_ASSERT(!field.name.empty());
    add(static_cast<char>('0' + static_cast<int>(header_class)), text);
    log += '\n';
    body += text;
    body += '\n';
  }
  void on_header_end(HeaderClass header_class) override {
    add(static_cast<char>('5' + static_cast<int>(header_class)), "\n");
  }
  void on_body(Line line) override {
    add(in_line_ ? '+' : '|', line.text);
    if (in_line_) { log.erase(log.size() - line.text.size() - 1, 1); }
    in_line_ = line.end == LineEnd::partial;
    log += in_line_ ? "" : "\n";
    body += line.text;
    body += in_line_ ? "" : "\n";
    if (downgrade) { longest = std::max(longest, line.text.size()); }
  }
  void on_problem(MimeProblem problem, std::string_view) override { problems |= 1U << static_cast<unsigned>(problem); }

  std::string log;
  std::string body;
  unsigned problems = 0;
  bool downgrade = false;
  std::size_t longest = 0;

 private:
  void add(char mark, std::string_view text) {
    log += mark;
    log += text;
  }
  bool in_line_ = false;
};

void run(std::string_view message, const MimeOptions& options, std::size_t piece, Recorder& recorder) {
  recorder.downgrade = options.downgrade;
  MimeParser parser(options, recorder);
  for (std::string_view line : stagepost::text::split_exact(message, '\n')) {
    while (line.size() > piece) {
      parser.feed({line.substr(0, piece), LineEnd::partial});
      line.remove_prefix(piece);
    }
    parser.feed({line, LineEnd::complete});
  }
  parser.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) { return 0; }
  const std::string_view message(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool small = (data[0] & 4U) != 0;
  const MimeOptions options{.mime_nesting_limit = 5,
                            .mime_boundary_length_limit = small ? 4U : 2048U,
                            .header_size_limit = small ? 30U : 102400U,
                            .disable_mime = (data[0] & 1U) != 0,
                            .downgrade = (data[0] & 2U) != 0,
                            .report_eight_bit_in_header = true,
                            .report_eight_bit_in_7bit_body = true,
                            .report_encoding_domain = true,
                            .report_nesting = true,
                            .report_truncated_header = true};
  Recorder whole;
  run(message, options, message.size() + 1, whole);
  for (const std::size_t piece : {1UL, 3UL, 10UL}) {
    Recorder pieces;
    run(message, options, piece, pieces);
    SP_ASSERT(pieces.log == whole.log);
    SP_ASSERT(pieces.problems == whole.problems);
  }
  if (!options.downgrade && !small) {
    std::string expected;
    std::string got;
    for (const char c : message) { expected += c == ' ' || c == '\t' ? "" : std::string{c}; }
    expected += '\n';
    for (const char c : whole.body) { got += c == ' ' || c == '\t' ? "" : std::string{c}; }
    SP_ASSERT(got == expected);
  }
  return 0;
}
