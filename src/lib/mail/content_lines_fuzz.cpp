// The decoder gives the same lines, end and report however the bytes are split; the encoder's output decodes to its
// input.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "mail/content_lines.hpp"

namespace {

using namespace stagepost::mail;

struct Result {
  std::string lines;
  std::size_t consumed = 0;
  bool ended = false;
  ContentReport report;
};

Result decode(std::string_view input, const DecoderOptions& options, std::size_t chunk) {
  ContentDecoder decoder(options);
  Result result;
  const auto sink = [&](Line line) {
    SP_ASSERT(line.text.size() <= options.line_length_limit);
    SP_ASSERT(line.text.find('\n') == std::string_view::npos);
    result.lines += line.text;
    result.lines += line.end == LineEnd::complete ? "\n" : "\n+";
  };
  while (!decoder.ended() && result.consumed < input.size()) {
    result.consumed += decoder.feed(input.substr(result.consumed, chunk), sink);
  }
  decoder.finish(sink);
  result.ended = decoder.ended();
  result.report = decoder.report();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) { return 0; }
  const DecoderOptions options{.dots = static_cast<DecoderOptions::Dots>(data[0] % 3),
                               .bare_newline = static_cast<BareNewline>(data[0] / 3 % 4),
                               .crlf = data[0] < 128,
                               .line_length_limit = 2U + data[1] % 32U};
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Result whole = decode(input, options, input.size());
  for (const std::size_t chunk : {1UL, 2UL, 7UL}) {
    const Result pieces = decode(input, options, chunk);
    SP_ASSERT(pieces.lines == whole.lines);
    SP_ASSERT(pieces.consumed == whole.consumed);
    SP_ASSERT(pieces.ended == whole.ended);
    SP_ASSERT(pieces.report.bare_lf == whole.report.bare_lf && pieces.report.bare_cr == whole.report.bare_cr);
    SP_ASSERT(pieces.report.nul == whole.report.nul && pieces.report.lines == whole.report.lines);
  }
  // Encoded text has only CRLF.CRLF at its end, so that no receiver can be led to see a second message in it, and
  // decoding gives the text back. (A CR before the line end can't survive: cleanup replaces stray CR.)
  std::string text;
  for (const char c : input) { text += c == '\r' ? ' ' : c; }
  ContentEncoder whole_encoder;
  std::string encoded;
  whole_encoder.append_text(text, encoded);
  whole_encoder.finish(encoded);
  ContentEncoder pieces_encoder;
  std::string pieces;
  for (std::size_t i = 0; i < text.size(); ++i) {
    pieces_encoder.append_text(std::string_view(text).substr(i, 1), pieces);
  }
  pieces_encoder.finish(pieces);
  SP_ASSERT(pieces == encoded);
  std::string decoded;
  ContentDecoder decoder({.bare_newline = BareNewline::reject, .line_length_limit = 100});
  const std::size_t consumed = decoder.feed(encoded, [&decoded](Line line) {
    decoded += line.text;
    decoded += line.end == LineEnd::complete ? "\n" : "";
  });
  SP_ASSERT(decoder.ended() && consumed == encoded.size() && !decoder.report().bare_lf);
  if (!text.empty() && text.back() != '\n') { text += '\n'; }
  SP_ASSERT(decoded == text);
  return 0;
}
