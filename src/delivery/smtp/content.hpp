// The message as it goes over the wire after DATA: CRLF line ends, dots doubled, long lines broken, and 8-bit text
// turned into quoted-printable for servers without 8BITMIME.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "mail/content_lines.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::smtp_client {

enum class Conversion : std::uint8_t { none, to_7bit };

class ContentSource {
 public:
  ContentSource(queue::MessageReader& reader, Conversion conversion, std::size_t line_length_limit);
  ~ContentSource();
  ContentSource(const ContentSource&) = delete;
  ContentSource& operator=(const ContentSource&) = delete;

  /// Appends about `octets` of encoded content to `out`; false when that was the end (".\r\n" included). Errors of the
  /// queue file. The reader must be positioned at the content (rewind_content).
  [[nodiscard]] Result<bool> read(std::string& out, std::size_t octets);

 private:
  class Downgrade;
  queue::MessageReader& reader_;
  mail::ContentEncoder encoder_;
  std::string text_;
  std::unique_ptr<Downgrade> downgrade_;
};

/// True when a header field of the message has a byte >= 0x80 (it needs SMTPUTF8). Leaves the reader anywhere.
[[nodiscard]] Result<bool> has_eight_bit_header(queue::MessageReader& reader, const queue::Envelope& envelope);

}  // namespace stagepost::smtp_client
