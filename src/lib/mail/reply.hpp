// SMTP replies (RFC 5321 §4.2): the value the server answers with and its wire form, and the incremental parser the
// client uses for what a server says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mail/dsn.hpp"

namespace stagepost::smtp {

/// A reply to send. Several lines: '\n' between them in `text`.
struct Reply {
  int code = 0;
  /// "5.5.1", or empty for replies that have none (greeting, EHLO, 354).
  std::string enhanced = {};
  std::string text = {};
  [[nodiscard]] bool is_success() const { return code >= 200 && code < 400; }
  [[nodiscard]] bool is_temporary() const { return code >= 400 && code < 500; }
  [[nodiscard]] bool is_permanent() const { return code >= 500; }
  friend bool operator==(const Reply&, const Reply&) = default;
};

/// "250-...\r\n250 ...\r\n"; the enhanced code is on each line (RFC 2034 §4). Control characters become '?'.
[[nodiscard]] std::string format_reply(const Reply& reply);
/// "503 5.5.1 Error: need MAIL command": one line for logs, lines joined with "; ".
[[nodiscard]] std::string reply_for_log(const Reply& reply);
/// Reads "450 4.7.1 text" or "4.7.1 text" as tables and policy servers give it; nullopt without a code.
[[nodiscard]] std::optional<Reply> parse_reply_text(std::string_view text);

/// What a server said.
struct ServerReply {
  int code = 0;
  /// Enhanced status code at the start of the first line, when its class matches the reply code's.
  std::string enhanced;
  /// All lines without CRLF as received ("250-a\n250 b"), control characters as '?'; cut at the limit.
  std::string text;
  [[nodiscard]] int reply_class() const { return code / 100; }
};
/// Status from a reply: its enhanced code, or one made of the class ("5.0.0").
[[nodiscard]] dsn::Status to_status(const ServerReply& reply);

/// Collects the lines of one reply. Bounded: at most `limit_octets` of text are kept and `limit_lines` lines are read.
class ReplyParser {
 public:
  struct Limits {
    std::size_t text_octets = 102400;
    std::size_t lines = 1000;
  };
  enum class State : std::uint8_t {
    more,       // needs another line
    complete,   // reply() is valid
    malformed,  // not an SMTP reply: give up on this connection
    too_long,   // the limit of lines is reached
  };
  ReplyParser() = default;
  explicit ReplyParser(Limits limits) : limits_(limits) {}
  /// One line without its line end.
  State feed(std::string_view line);
  [[nodiscard]] const ServerReply& reply() const { return reply_; }
  void reset();

 private:
  Limits limits_;
  ServerReply reply_;
  std::size_t lines_ = 0;
};

}  // namespace stagepost::smtp
