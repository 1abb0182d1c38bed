// THE line decoder for message content, whoever sends it (SMTP DATA and BDAT, before-queue proxies, milters, sendmail):
// one place decides what ends a line and what ends a message. And its counterpart, the encoder that the SMTP client
// uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "mail/line.hpp"

namespace stagepost::mail {

/// Parameter smtpd_forbid_bare_newline.
enum class BareNewline : std::uint8_t {
  allow,      // no: LF ends a line after any number of CR, and LF.LF or LF.CRLF ends the message
  normalize,  // yes, normalize: LF ends a line, only CRLF.CRLF ends the message
  note,       // as normalize; the caller logs what report() says
  reject,     // as normalize; the caller refuses the message when report() says so
};

struct DecoderOptions {
  enum class Dots : std::uint8_t {
    smtp,   // leading dots are doubled; "." alone ends the message
    local,  // "." alone ends the message, no other dot is special (sendmail without -i)
    plain,  // dots are data; the caller knows the end (BDAT, sendmail -i, milter)
  };
  Dots dots = Dots::smtp;
  BareNewline bare_newline = BareNewline::allow;
  /// A CR before LF belongs to the line end. False for sendmail_fix_line_endings = never.
  bool crlf = true;
  /// Parameter line_length_limit: longer lines come out as several pieces of this many octets. At least 2.
  std::size_t line_length_limit = 2048;
};

/// What was seen so far.
struct ContentReport {
  bool bare_lf = false;
  bool bare_cr = false;
  bool nul = false;
  bool long_line = false;
  std::uint64_t lines = 0;
};

/// Decodes content fed in chunks of any size. What it emits is the same however the bytes are split.
class ContentDecoder {
 public:
  using Sink = std::function<void(Line)>;
  explicit ContentDecoder(const DecoderOptions& options);

  /// Consumes up to the end of the message; returns the octets consumed. Less than input.size() only when ended():
  /// what follows belongs to the next command. Lines go to `sink`, as views that are valid during the call.
  template <class F>
  std::size_t feed(std::string_view input, F&& sink) {
    return feed_to(input, SinkRef(sink));
  }
  /// End of input without a terminator (BDAT LAST, end of file): a last line without its end comes out, as complete.
  template <class F>
  void finish(F&& sink) {
    finish_to(SinkRef(sink));
  }

  /// The end-of-message mark was read.
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] const ContentReport& report() const { return report_; }

 private:
  // A reference to any callable taking Line: no allocation, one indirect call a line.
  class SinkRef {
   public:
    template <class F>
    explicit SinkRef(F& f)
        : object_(const_cast<void*>(static_cast<const void*>(&f))),
          call_([](void* object, Line line) { (*static_cast<F*>(object))(line); }) {}
    void operator()(Line line) const { call_(object_, line); }

   private:
    void* object_;
    void (*call_)(void*, Line);
  };

  std::size_t feed_to(std::string_view input, SinkRef sink);
  void finish_to(SinkRef sink);
  std::string_view drain(std::string_view text, SinkRef sink);
  void complete_line(std::string_view text, SinkRef sink);
  void emit(std::string_view text, LineEnd end, SinkRef sink);
  [[nodiscard]] bool is_dot_stuffed(std::string_view text) const;

  DecoderOptions options_;
  ContentReport report_;
  /// Start of an unfinished line, as received; at most line_length_limit and a few octets between calls.
  std::string carry_;
  /// Octets of the current line already passed on.
  std::size_t line_octets_ = 0;
  bool previous_crlf_ = true;  // the DATA command ended in CRLF
  bool ended_ = false;
};

/// Encodes content for DATA: CRLF line ends and doubled leading dots.
class ContentEncoder {
 public:
  struct Options {
    /// Parameter smtp_line_length_limit: a longer line is broken by CRLF and a space; 0: never, 1 counts as 2.
    std::size_t line_length_limit = 0;
    /// Double leading dots (false: BDAT).
    bool dot_stuffing = true;
  };
  ContentEncoder() = default;
  explicit ContentEncoder(const Options& options);

  /// Appends one piece.
  void append(Line line, std::string& out);
  /// Appends text whose lines end in LF (a large chunk of a file), cut anywhere.
  void append_text(std::string_view text, std::string& out);
  /// Appends the end of an unfinished line if needed, and ".\r\n" when dots are doubled.
  void finish(std::string& out);

 private:
  void append_fragment(std::string_view text, std::string& out);

  Options options_;
  std::size_t column_ = 0;
};

}  // namespace stagepost::mail
