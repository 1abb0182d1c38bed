// Message content on its way into the queue file: LF-terminated bytes in chunks of any size become MIME events, and
// those become header fields to decide about and body records to append.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "cleanup/cleanup/settings.hpp"
#include "mail/mime.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::cleanup {

/// Cuts chunks into the lines and line pieces the MIME machine reads.
class LineCutter {
 public:
  explicit LineCutter(std::size_t line_length_limit) : limit_(line_length_limit) {}

  /// Calls `sink` for each line or piece; keeps at most one unfinished piece.
  template <class Sink>
  void feed(std::string_view bytes, Sink&& sink) {
    while (!bytes.empty()) {
      const std::size_t newline = bytes.find('\n');
      if (newline == std::string_view::npos) {
        pending_ += bytes;
        while (pending_.size() > limit_) {
          sink(mail::Line{std::string_view(pending_).substr(0, limit_), mail::LineEnd::partial});
          pending_.erase(0, limit_);
        }
        return;
      }
      std::string_view line = bytes.substr(0, newline);
      bytes.remove_prefix(newline + 1);
      if (!pending_.empty()) {
        pending_ += line;
        line = pending_;
      }
      while (line.size() > limit_) {
        sink(mail::Line{line.substr(0, limit_), mail::LineEnd::partial});
        line.remove_prefix(limit_);
      }
      sink(mail::Line{line, mail::LineEnd::complete});
      pending_.clear();
    }
  }
  /// The last line, when its LF is missing.
  template <class Sink>
  void finish(Sink&& sink) {
    if (!pending_.empty()) { sink(mail::Line{pending_, mail::LineEnd::complete}); }
    pending_.clear();
  }

 private:
  std::size_t limit_;
  std::string pending_;
};

/// A step the session takes in order: header fields may need to wait for look-ups, so they are queued with what follows
/// them.
struct ContentEvent {
  enum class Kind { primary_header, other_header, primary_end, body_line, body_piece, problem } kind;
  std::string text;                                   ///< field ('\n' between lines), body text, or problem context
  mail::HeaderKind header = mail::HeaderKind::other;  ///< of a header event
  mail::MimeProblem problem = mail::MimeProblem::nesting;
};

/// Appends body lines to the file at once while nothing is queued before them.
class ContentSink final : public mail::MimeSink {
 public:
  /// `replace_stray_cr`: parameter cleanup_replace_stray_cr_lf; a CR inside content becomes a space.
  ContentSink(queue::MessageWriter& writer, bool replace_stray_cr)
      : writer_(&writer), replace_stray_cr_(replace_stray_cr) {}

  void on_header(mail::HeaderClass header_class, const mail::HeaderField& field, std::string_view text) override;
  void on_header_end(mail::HeaderClass header_class) override;
  void on_body(mail::Line line) override;
  void on_problem(mail::MimeProblem problem, std::string_view context) override;

  [[nodiscard]] std::deque<ContentEvent>& events() { return events_; }
  /// Appends header text as one record a line; counts it.
  void append_field(std::string_view field);
  /// The same for one that cleanup made: it is no reason to need SMTPUTF8.
  void append_own_field(std::string_view field);
  void append_body(std::string_view text, mail::LineEnd end);
  /// Content bytes appended so far, with one byte per line end: the message size.
  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  /// A header field of the message is not ASCII.
  [[nodiscard]] bool eight_bit_header() const { return eight_bit_header_; }

 private:
  queue::MessageWriter* writer_;
  bool replace_stray_cr_;
  bool first_body_line_ = true;
  bool eight_bit_header_ = false;
  std::deque<ContentEvent> events_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace stagepost::cleanup
