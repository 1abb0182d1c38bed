// Lookup keys from a message, as header_checks(5) and body_checks(5) see it: for postmap -h, -b and -m.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mail/mime.hpp"

namespace stagepost::maps {

struct MessageKeyOptions {
  bool headers = false;  ///< -h: each header field, with newlines where it was folded
  bool body = false;     ///< -b: each line of the body
  bool mime = false;     ///< -m: look into parts; otherwise everything after the first header is body
};

class MessageKeys final : private mail::MimeSink {
 public:
  /// `visit` gets the keys in the order of the message; valid during the call.
  MessageKeys(const MessageKeyOptions& options, std::function<void(std::string_view)> visit);
  ~MessageKeys() override;

  /// The next line of the message, without its end.
  void feed(std::string_view line);
  void finish();

 private:
  void on_header(mail::HeaderClass header_class, const mail::HeaderField& field, std::string_view text) override;
  void on_header_end(mail::HeaderClass header_class) override;
  void on_body(mail::Line line) override;
  void on_problem(mail::MimeProblem problem, std::string_view context) override;

  MessageKeyOptions options_;
  std::function<void(std::string_view)> visit_;
  std::string partial_;
  bool after_header_ = false;  ///< the header has just ended
  std::unique_ptr<mail::MimeParser> parser_;
};

}  // namespace stagepost::maps
