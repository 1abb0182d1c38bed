// MIME state machine (RFC 2045, 2046, 6532) over message lines: finds the primary, MIME and nested header fields and
// the body lines, checks encodings, and can turn 8-bit body parts into quoted-printable for a peer without 8BITMIME. It
// keeps one header field and one line fragment in memory, both limited.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mail/header.hpp"
#include "mail/line.hpp"

namespace stagepost::mail {

enum class HeaderClass : std::uint8_t {
  primary,
  mime,
  nested
};  // header_checks, mime_header_checks, nested_header_checks

enum class MimeProblem : std::uint8_t {
  nesting,                 // more than mime_nesting_limit levels (5.6.0)
  truncated_header,        // a field is longer than header_size_limit (5.6.0)
  eight_bit_in_header,     // strict_7bit_headers (5.6.0)
  eight_bit_in_7bit_body,  // strict_8bitmime_body (5.6.0)
  encoding_domain,         // multipart or message with an encoding other than 7bit, 8bit, binary (5.6.0)
};

struct MimeOptions {
  std::size_t mime_nesting_limit = 100;
  std::size_t mime_boundary_length_limit = 2048;
  std::size_t header_size_limit = 102400;
  /// Parameters disable_mime_input_processing / disable_mime_output_conversion: everything after the primary header is
  /// body, Content-* fields have no meaning.
  bool disable_mime = false;
  /// 8-bit text becomes quoted-printable, and Content-Transfer-Encoding says so.
  bool downgrade = false;
  bool report_eight_bit_in_header = false;
  bool report_eight_bit_in_7bit_body = false;
  bool report_encoding_domain = false;
  bool report_nesting = false;
  bool report_truncated_header = false;
  /// Text of 7bit parts that have 8-bit content is reported as 8bit in the statistics (detect_8bit_encoding_header is
  /// the caller's business: see MimeParser::saw_eight_bit_body).
};

/// Receives what the machine finds, in message order. Views are valid during the call only.
class MimeSink {
 public:
  virtual ~MimeSink() = default;
  /// A complete header field, '\n' between its lines.
  virtual void on_header(HeaderClass header_class, const HeaderField& field, std::string_view text) = 0;
  /// The end of a primary, MIME or nested header block; the separating empty line, if the message has one, follows as
  /// a body line.
  virtual void on_header_end(HeaderClass header_class) = 0;
  virtual void on_body(Line line) = 0;
  /// At most once per kind of problem. `context` is the start of the offending text.
  virtual void on_problem(MimeProblem problem, std::string_view context) = 0;
};

class MimeParser {
 public:
  MimeParser(const MimeOptions& options, MimeSink& sink);
  ~MimeParser();
  MimeParser(const MimeParser&) = delete;
  MimeParser& operator=(const MimeParser&) = delete;

  /// The next piece of the message. What the sink receives does not depend on how lines are cut into pieces, except
  /// that body pieces may be cut elsewhere.
  void feed(Line line);
  /// End of the message: flushes a held header field or fragment.
  void finish();

  /// Some body line had a byte >= 0x80.
  [[nodiscard]] bool saw_eight_bit_body() const;
  /// Some header field had a byte >= 0x80.
  [[nodiscard]] bool saw_eight_bit_header() const;
  /// Still in the primary header block.
  [[nodiscard]] bool in_primary_header() const;

 private:
  class Machine;
  std::unique_ptr<Machine> machine_;
};

/// "mime nesting exceeds limit" and so on, as they appear in replies and logs.
[[nodiscard]] std::string_view describe(MimeProblem problem);

}  // namespace stagepost::mail
