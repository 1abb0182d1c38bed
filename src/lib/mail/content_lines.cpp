// See content_lines.hpp. Lines that lie whole in the input are passed on as views of it; only a line that crosses the
// end of a chunk is copied, up to line_length_limit.
#include "mail/content_lines.hpp"

#include <algorithm>
#include <cstring>

namespace stagepost::mail {
namespace {

const char* find_byte(std::string_view s, char c) {
  return s.empty() ? nullptr : static_cast<const char*>(std::memchr(s.data(), static_cast<unsigned char>(c), s.size()));
}

}  // namespace

ContentDecoder::ContentDecoder(const DecoderOptions& options) : options_(options) {
  options_.line_length_limit = std::max<std::size_t>(options_.line_length_limit, 2);
}

bool ContentDecoder::is_dot_stuffed(std::string_view text) const {
  return line_octets_ == 0 && options_.dots == DecoderOptions::Dots::smtp && text.starts_with('.');
}

void ContentDecoder::emit(std::string_view text, LineEnd end, SinkRef sink) {
  report_.nul = report_.nul || find_byte(text, '\0') != nullptr;
  report_.bare_cr = report_.bare_cr || find_byte(text, '\r') != nullptr;
  if (end == LineEnd::partial) {
    report_.long_line = true;
    line_octets_ += text.size();
  } else {
    ++report_.lines;
    line_octets_ = 0;
  }
  sink({text, end});
}

// Passes on pieces of line_length_limit octets, counted from the start of the line, so that the cuts do not depend on
// the chunks; returns what is left. One octet more than the limit stays: it may be the CR of the line end.
std::string_view ContentDecoder::drain(std::string_view text, SinkRef sink) {
  const std::size_t limit = options_.line_length_limit;
  const std::size_t dot = is_dot_stuffed(text) ? 1 : 0;
  if (text.size() - dot <= limit + 1) { return text; }
  text.remove_prefix(dot);
  while (text.size() > limit + 1) {
    emit(text.substr(0, limit), LineEnd::partial, sink);
    text.remove_prefix(limit);
  }
  return text;
}

// `text` is what stands before LF and was not passed on yet.
void ContentDecoder::complete_line(std::string_view text, SinkRef sink) {
  using Dots = DecoderOptions::Dots;
  text = drain(text, sink);
  const bool crlf = options_.crlf && text.ends_with('\r');
  if (crlf) {
    text.remove_suffix(1);
    while (options_.bare_newline == BareNewline::allow && options_.dots != Dots::local && text.ends_with('\r')) {
      text.remove_suffix(1);
    }
  }
  report_.bare_lf = report_.bare_lf || !crlf;
  if (line_octets_ == 0 && options_.dots != Dots::plain && text == ".") {
    // SMTP smuggling: anything but CRLF.CRLF ends the message only when bare newlines are allowed.
    if ((crlf && previous_crlf_) || options_.dots == Dots::local || options_.bare_newline == BareNewline::allow) {
      ended_ = true;
      return;
    }
  }
  previous_crlf_ = crlf;
  if (is_dot_stuffed(text)) { text.remove_prefix(1); }
  if (text.size() > options_.line_length_limit) {
    emit(text.substr(0, options_.line_length_limit), LineEnd::partial, sink);
    text.remove_prefix(options_.line_length_limit);
  }
  emit(text, LineEnd::complete, sink);
}

std::size_t ContentDecoder::feed_to(std::string_view input, SinkRef sink) {
  std::size_t consumed = 0;
  while (!ended_ && consumed < input.size()) {
    const std::string_view rest = input.substr(consumed);
    const char* const newline = find_byte(rest, '\n');
    if (newline == nullptr) {
      if (carry_.empty()) {
        carry_ = drain(rest, sink);
      } else {
        carry_ += rest;
        carry_.erase(0, carry_.size() - drain(carry_, sink).size());
      }
      return input.size();
    }
    const auto length = static_cast<std::size_t>(newline - rest.data());
    consumed += length + 1;
    if (carry_.empty()) {
      complete_line(rest.substr(0, length), sink);
      continue;
    }
    carry_ += rest.substr(0, length);
    // The line is taken out first: the sink must not see a half-changed decoder.
    const std::string line = std::move(carry_);
    carry_.clear();
    complete_line(line, sink);
  }
  return consumed;
}

void ContentDecoder::finish_to(SinkRef sink) {
  if (ended_ || (carry_.empty() && line_octets_ == 0)) { return; }
  std::string_view text = carry_;
  if (is_dot_stuffed(text)) { text.remove_prefix(1); }
  if (text.size() > options_.line_length_limit) {
    emit(text.substr(0, options_.line_length_limit), LineEnd::partial, sink);
    text.remove_prefix(options_.line_length_limit);
  }
  emit(text, LineEnd::complete, sink);
  carry_.clear();
}

ContentEncoder::ContentEncoder(const Options& options) : options_(options) {
  if (options_.line_length_limit == 1) {
    options_.line_length_limit = 2;  // a continuation line has its space and at least one octet
  }
}

void ContentEncoder::append_fragment(std::string_view text, std::string& out) {
  if (text.empty()) { return; }
  if (column_ == 0 && text.front() == '.' && options_.dot_stuffing) { out += '.'; }
  if (options_.line_length_limit == 0) {
    out += text;
    column_ += text.size();
    return;
  }
  while (column_ + text.size() > options_.line_length_limit) {
    const std::size_t room = options_.line_length_limit - std::min(column_, options_.line_length_limit);
    out += text.substr(0, room);
    // The space keeps a broken header line a header line.
    out += "\r\n ";
    column_ = 1;
    text.remove_prefix(room);
  }
  out += text;
  column_ += text.size();
}

void ContentEncoder::append(Line line, std::string& out) {
  append_fragment(line.text, out);
  if (line.end == LineEnd::complete) {
    out += "\r\n";
    column_ = 0;
  }
}

void ContentEncoder::append_text(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const char* const newline = find_byte(text, '\n');
    if (newline == nullptr) {
      append_fragment(text, out);
      return;
    }
    const auto length = static_cast<std::size_t>(newline - text.data());
    append_fragment(text.substr(0, length), out);
    out += "\r\n";
    column_ = 0;
    text.remove_prefix(length + 1);
  }
}

void ContentEncoder::finish(std::string& out) {
  if (column_ > 0) {
    out += "\r\n";
    column_ = 0;
  }
  if (options_.dot_stuffing) { out += ".\r\n"; }
}

}  // namespace stagepost::mail
