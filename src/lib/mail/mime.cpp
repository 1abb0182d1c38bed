// See mime.hpp. One Machine: it assembles header fields from pieces of lines, recognises boundaries at the start of
// body lines, and keeps a stack of open multiparts and messages whose size is mime_nesting_limit at most.
#include "mail/mime.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "base/text.hpp"
#include "mail/mime_content_type.hpp"
#include "mail/quoted_printable.hpp"

namespace stagepost::mail {
namespace {

/// A field name longer than this begins no header field; bounds what is held until the ':' is seen.
constexpr std::size_t kNameOctets = 998;

bool has_eight_bit(std::string_view s) {
  constexpr std::uint64_t kHighBits = 0x8080808080808080ULL;
  while (s.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, s.data(), 8);
    if ((word & kHighBits) != 0) { return true; }
    s.remove_prefix(8);
  }
  return !text::is_ascii(s);
}

enum class Encoding : std::uint8_t { seven_bit, eight_bit, binary, other };

}  // namespace

class MimeParser::Machine {
 public:
  Machine(const MimeOptions& options, MimeSink& sink)
      : options_(options), sink_(sink), encoder_([&sink](Line line) { sink.on_body(line); }) {}

  void feed(Line line) {
    if (state_ == State::body) {
      feed_body(line);
    } else {
      feed_header(line);
    }
  }

  void finish() {
    if (!pending_.empty()) {
      const std::string held = std::move(pending_);
      pending_.clear();
      if (state_ == State::body) {
        body_line_start({held, LineEnd::partial});
      } else {
        header_line_start({held, LineEnd::partial});
      }
    }
    if (state_ != State::body) {
      end_header();
      state_ = State::body;
    }
    if (downgrading_) { encoder_.finish(); }
  }

  [[nodiscard]] bool saw_eight_bit_body() const { return saw_eight_bit_body_; }
  [[nodiscard]] bool saw_eight_bit_header() const { return saw_eight_bit_header_; }
  [[nodiscard]] bool in_primary_header() const { return state_ == State::primary; }

 private:
  enum class State : std::uint8_t { primary, part, nested, body };

  /// What the header of the current entity says.
  struct Entity {
    ContentType type;
    Encoding encoding = Encoding::seven_bit;
    std::string encoding_name;
  };

  /// An open multipart (or message, with an empty boundary).
  struct Level {
    std::string boundary;
    bool digest = false;
  };

  // ---- header ----

  void feed_header(Line line) {
    if (in_field_line_) {
      append_to_field(line.text);
      in_field_line_ = line.end == LineEnd::partial;
      return;
    }
    if (pending_.empty() && line.end == LineEnd::complete) {
      header_line_start(line);
      return;
    }
    pending_ += line.text;
    // Held until it is clear what the line is: the ':' may be in the next piece.
    if (line.end == LineEnd::partial && pending_.size() < kNameOctets && is_undecided(pending_)) { return; }
    const std::string held = std::move(pending_);
    pending_.clear();
    header_line_start({held, line.end});
  }

  [[nodiscard]] bool is_undecided(std::string_view start) const {
    if (start.empty()) { return true; }
    if (is_header_continuation(start)) { return false; }
    if (start.find(':') != std::string_view::npos) { return false; }
    const std::size_t name = std::min(start.find_first_of(" \t"), start.size());
    return std::ranges::all_of(start.substr(0, name), [](char c) { return text::is_printable(c); }) &&
           start.find_first_not_of(" \t", name) == std::string_view::npos;
  }

  void header_line_start(Line line) {
    if (line.text.empty() && line.end == LineEnd::complete) {
      end_header();
      sink_.on_body(line);
      enter_content();
      return;
    }
    if (is_header_continuation(line.text) && !field_.empty()) {
      append_to_field("\n");
      append_to_field(line.text);
      in_field_line_ = line.end == LineEnd::partial;
      return;
    }
    // The name must lie in the first kNameOctets, whatever the pieces.
    if (const std::size_t name = header_name_length(line.text.substr(0, kNameOctets)); name > 0) {
      flush_field();
      // "Subject : x" becomes "Subject: x", as Postfix writes it.
      field_ = line.text.substr(0, name);
      append_to_field(line.text.substr(line.text.find(':', name)));
      in_field_line_ = line.end == LineEnd::partial;
      return;
    }
    // Not a header field: the header ends here, without an empty line.
    end_header();
    enter_content();
    if (state_ == State::body) {
      body_line_start(line);
    } else {
      header_line_start(line);
    }
  }

  void append_to_field(std::string_view text) {
    const std::size_t room = options_.header_size_limit - std::min(field_.size(), options_.header_size_limit);
    if (text.size() > room) { field_truncated_ = true; }
    field_ += text.substr(0, room);
  }

  void flush_field() {
    if (field_.empty()) { return; }
    const std::string field = std::move(field_);
    field_.clear();
    if (field_truncated_) {
      field_truncated_ = false;
      report(options_.report_truncated_header, MimeProblem::truncated_header, field);
    }
    const auto parsed = parse_header_field(field);
    if (!parsed) {
      // A name alone that header_size_limit cut before its ':'; nothing that a header field could be.
      return;
    }
    if (has_eight_bit(field)) {
      saw_eight_bit_header_ = true;
      report(options_.report_eight_bit_in_header, MimeProblem::eight_bit_in_header, field);
    }
    const bool mime = header_traits(parsed->kind).mime;
    if (mime && !options_.disable_mime) {
      if (parsed->kind == HeaderKind::content_type) {
        entity_.type = parse_content_type(parsed->body, options_.mime_boundary_length_limit);
      } else if (parsed->kind == HeaderKind::content_transfer_encoding) {
        set_encoding(parsed->body);
        if (options_.downgrade && is_eight_bit_encoding()) {
          return;  // written anew at the end of the header
        }
      }
    }
    const HeaderClass header_class = state_ == State::part || mime ? HeaderClass::mime
                                     : state_ == State::nested     ? HeaderClass::nested
                                                                   : HeaderClass::primary;
    sink_.on_header(header_class, *parsed, field);
  }

  void set_encoding(std::string_view body) {
    entity_.encoding_name = text::to_lower(first_token(body));
    const std::string& name = entity_.encoding_name;
    entity_.encoding = name == "7bit"     ? Encoding::seven_bit
                       : name == "8bit"   ? Encoding::eight_bit
                       : name == "binary" ? Encoding::binary
                                          : Encoding::other;
  }

  [[nodiscard]] bool is_eight_bit_encoding() const {
    return entity_.encoding == Encoding::eight_bit || entity_.encoding == Encoding::binary;
  }

  void end_header() {
    flush_field();
    in_field_line_ = false;
    if (!options_.disable_mime) {
      const bool composite = entity_.type.is_multipart || entity_.type.is_message;
      if (composite && entity_.encoding == Encoding::other) {
        report(options_.report_encoding_domain, MimeProblem::encoding_domain, entity_.encoding_name);
      }
      if (options_.downgrade && is_eight_bit_encoding()) { write_encoding(composite ? "7bit" : "quoted-printable"); }
    }
    sink_.on_header_end(state_ == State::primary ? HeaderClass::primary
                        : state_ == State::part  ? HeaderClass::mime
                                                 : HeaderClass::nested);
  }

  void write_encoding(std::string_view encoding) {
    const std::string field = "Content-Transfer-Encoding: " + std::string(encoding);
    if (const auto parsed = parse_header_field(field); parsed) { sink_.on_header(HeaderClass::mime, *parsed, field); }
  }

  /// After the header of an entity: what is its content?
  void enter_content() {
    state_ = State::body;
    downgrading_ = false;
    if (options_.disable_mime) { return; }
    if (entity_.type.is_multipart) {
      for (std::string& boundary : entity_.type.boundaries) {
        push({.boundary = std::move(boundary), .digest = entity_.type.is_digest});
      }
    } else if (entity_.type.holds_message) {
      if (push({.boundary = {}, .digest = false})) { begin_entity(State::nested, false); }
      return;
    } else if (options_.downgrade && is_eight_bit_encoding() && !entity_.type.is_message) {
      downgrading_ = true;
    }
    entity_.type.boundaries.clear();
  }

  void begin_entity(State state, bool digest) {
    state_ = state;
    entity_ = Entity{};
    entity_.type.is_message = digest;
    entity_.type.holds_message = digest;
  }

  bool push(Level level) {
    if (levels_.size() >= options_.mime_nesting_limit) {
      report(options_.report_nesting, MimeProblem::nesting, level.boundary);
      return false;
    }
    levels_.push_back(std::move(level));
    return true;
  }

  // ---- body ----

  void feed_body(Line line) {
    if (in_body_line_) {
      body_text(line);
      in_body_line_ = line.end == LineEnd::partial;
      return;
    }
    if (pending_.empty() && (line.end == LineEnd::complete || levels_.empty())) {
      body_line_start(line);
      return;
    }
    pending_ += line.text;
    // Held while it may be the start of a boundary line.
    const bool may_be_boundary =
        pending_.size() < 2 ? std::string_view("--").starts_with(pending_) : pending_.starts_with("--");
    if (line.end == LineEnd::partial && may_be_boundary && pending_.size() < options_.mime_boundary_length_limit + 4) {
      return;
    }
    const std::string held = std::move(pending_);
    pending_.clear();
    body_line_start({held, line.end});
  }

  void body_line_start(Line line) {
    if (!levels_.empty() && line.text.starts_with("--") && boundary_line(line)) { return; }
    body_text(line);
    in_body_line_ = line.end == LineEnd::partial;
  }

  /// Innermost first; a prefix is enough, as in Postfix.
  bool boundary_line(Line line) {
    const std::string_view rest = line.text.substr(2);
    for (std::size_t i = levels_.size(); i-- > 0;) {
      const std::string& boundary = levels_[i].boundary;
      if (boundary.empty() || !rest.starts_with(boundary)) { continue; }
      if (downgrading_) {
        encoder_.finish();
        downgrading_ = false;
      }
      const bool digest = levels_[i].digest;
      sink_.on_body(line);
      if (rest.substr(boundary.size()).starts_with("--")) {
        levels_.resize(i);
        entity_ = Entity{};
        in_body_line_ = line.end == LineEnd::partial;
      } else {
        levels_.resize(i + 1);
        begin_entity(State::part, digest);
        skip_line_ = line.end == LineEnd::partial;
      }
      return true;
    }
    return false;
  }

  void body_text(Line line) {
    if (has_eight_bit(line.text)) {
      saw_eight_bit_body_ = true;
      if (!is_eight_bit_encoding()) {
        report(options_.report_eight_bit_in_7bit_body, MimeProblem::eight_bit_in_7bit_body, line.text);
      }
    }
    if (downgrading_) {
      encoder_.encode(line);
    } else {
      sink_.on_body(line);
    }
  }

  void report(bool enabled, MimeProblem problem, std::string_view context) {
    bool& reported = reported_[static_cast<std::size_t>(problem)];
    if (enabled && !reported) {
      reported = true;
      sink_.on_problem(problem, context.substr(0, 100));
    }
  }

 public:
  /// The rest of a boundary line that came in pieces goes to the sink before the part's header begins.
  bool take_boundary_rest(Line line) {
    if (!skip_line_) { return false; }
    sink_.on_body(line);
    skip_line_ = line.end == LineEnd::partial;
    return true;
  }

 private:
  MimeOptions options_;
  MimeSink& sink_;
  QuotedPrintableEncoder encoder_;
  State state_ = State::primary;
  Entity entity_;
  std::vector<Level> levels_;
  std::string field_;
  /// Start of a line that can't be judged yet.
  std::string pending_;
  bool in_field_line_ = false;
  bool in_body_line_ = false;
  bool skip_line_ = false;
  bool field_truncated_ = false;
  bool downgrading_ = false;
  bool saw_eight_bit_body_ = false;
  bool saw_eight_bit_header_ = false;
  std::array<bool, 5> reported_{};
};

MimeParser::MimeParser(const MimeOptions& options, MimeSink& sink)
    : machine_(std::make_unique<Machine>(options, sink)) {}
MimeParser::~MimeParser() = default;

void MimeParser::feed(Line line) {
  if (!machine_->take_boundary_rest(line)) { machine_->feed(line); }
}
void MimeParser::finish() { machine_->finish(); }
bool MimeParser::saw_eight_bit_body() const { return machine_->saw_eight_bit_body(); }
bool MimeParser::saw_eight_bit_header() const { return machine_->saw_eight_bit_header(); }
bool MimeParser::in_primary_header() const { return machine_->in_primary_header(); }

std::string_view describe(MimeProblem problem) {
  switch (problem) {
    case MimeProblem::nesting:
      return "MIME nesting exceeds limit";
    case MimeProblem::truncated_header:
      return "message header length exceeds safety limit";
    case MimeProblem::eight_bit_in_header:
      return "improper use of 8-bit data in message header";
    case MimeProblem::eight_bit_in_7bit_body:
      return "improper use of 8-bit data in message body";
    case MimeProblem::encoding_domain:
      return "invalid message/* or multipart/* encoding domain";
  }
  return "";
}

}  // namespace stagepost::mail
