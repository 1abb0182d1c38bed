#include "cleanup/cleanup/content_writer.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"

namespace stagepost::cleanup {

void ContentSink::on_header(mail::HeaderClass header_class, const mail::HeaderField& field, std::string_view text) {
  const bool primary = header_class == mail::HeaderClass::primary;
  if (!primary && events_.empty()) { return append_field(text); }
  events_.push_back({.kind = primary ? ContentEvent::Kind::primary_header : ContentEvent::Kind::other_header,
                     .text = std::string(text),
                     .header = field.kind});
}

void ContentSink::on_header_end(mail::HeaderClass header_class) {
  if (header_class == mail::HeaderClass::primary) { events_.push_back({.kind = ContentEvent::Kind::primary_end}); }
}

void ContentSink::on_body(mail::Line line) {
  // A header that runs into its body without an empty line: later readers must find the same border.
  if (std::exchange(first_body_line_, false) && !(line.text.empty() && line.end == mail::LineEnd::complete)) {
    on_body({"", mail::LineEnd::complete});
  }
  if (events_.empty()) { return append_body(line.text, line.end); }
  const bool complete = line.end == mail::LineEnd::complete;
  events_.push_back({.kind = complete ? ContentEvent::Kind::body_line : ContentEvent::Kind::body_piece,
                     .text = std::string(line.text)});
}

void ContentSink::on_problem(mail::MimeProblem problem, std::string_view context) {
  events_.push_back({.kind = ContentEvent::Kind::problem, .text = std::string(context), .problem = problem});
}

void ContentSink::append_field(std::string_view field) {
  eight_bit_header_ = eight_bit_header_ || !text::is_ascii(field);
  append_own_field(field);
}

void ContentSink::append_own_field(std::string_view field) {
  for (const std::string_view line : text::split_exact(field, '\n')) { append_body(line, mail::LineEnd::complete); }
}

void ContentSink::append_body(std::string_view text, mail::LineEnd end) {
  const bool complete = end == mail::LineEnd::complete;
  const auto type = complete ? queue::RecordType::line : queue::RecordType::partial_line;
  size_bytes_ += text.size() + (complete ? 1 : 0);
  if (replace_stray_cr_ && text.find('\r') != std::string_view::npos) {
    std::string clean(text);
    std::ranges::replace(clean, '\r', ' ');
    return writer_->append(type, clean);
  }
  writer_->append(type, text);
}

}  // namespace stagepost::cleanup
