// What smtp-source sends as message content. Pure but for reading the file of -F.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "commands/smtp-source/options.hpp"

namespace stagepost::smtp_source {

/// A body of `length_bytes` in lines of 80 bytes (CRLF counted) that begin with their number, then CRLF.
[[nodiscard]] std::string numbered_body(std::size_t length_bytes);
/// Any text as it goes over the wire: CRLF line endings, a further dot in front of lines that begin with one. The last
/// line gets an ending when it has none.
[[nodiscard]] std::string wire_form(std::string_view text);

/// Content that is the same for all messages, made once; only the header differs.
class MessageTemplate {
 public:
  /// Error: the file of -F cannot be read.
  [[nodiscard]] static Result<MessageTemplate> create(const Options& options);

  /// Appends the header of message `number` of session `session`; nothing in old mode or with -F.
  void append_header(const Options& options, std::uint64_t session, std::uint64_t number, std::string& out);
  /// What follows the header, with the final dot.
  [[nodiscard]] std::string_view body() const { return body_; }

 private:
  std::string body_;
  bool has_header_ = true;
  std::chrono::sys_seconds date_second_{};
  std::string date_;
};

/// Appends "RCPT TO:<...>" number `index` (from 0) of a message. `sequence` counts on over all messages for -N.
void append_recipient(const Options& options, std::uint64_t index, std::uint64_t& sequence, std::string& out);

}  // namespace stagepost::smtp_source
