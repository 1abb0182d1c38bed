// The message on standard input as records of a submission: line ends, the lone dot, a leading "From " line, and the
// recipients of the header (sendmail -t). Pure: bytes in, records out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mail/content_lines.hpp"

namespace stagepost::sendmail {

class MessageInput {
 public:
  struct Settings {
    bool dot_is_data = false;
    bool extract_recipients = false;
    std::size_t line_length_limit = 2048;
    std::size_t header_size_limit = 102400;
  };
  explicit MessageInput(const Settings& settings);

  /// Adds the next bytes of input; appends finished records to `records`.
  void feed(std::string_view bytes, std::string& records);
  /// End of input.
  void finish(std::string& records);
  /// A lone dot ended the message: read no further.
  [[nodiscard]] bool ended() const { return decoder_.ended(); }
  /// Recipients of To, Cc and Bcc, or of their Resent- forms if there are any, in external form. After finish().
  [[nodiscard]] const std::vector<std::string>& header_recipients() const {
    return resent_.empty() ? recipients_ : resent_;
  }

 private:
  void on_line(mail::Line line, std::string& records);
  void on_header_line(std::string_view line);
  void end_field();

  Settings settings_;
  mail::ContentDecoder decoder_;
  bool first_line_ = true;
  bool at_line_start_ = true;
  bool skipping_from_line_ = false;
  bool in_header_;
  std::string field_;
  std::vector<std::string> recipients_;
  std::vector<std::string> resent_;
};

}  // namespace stagepost::sendmail
