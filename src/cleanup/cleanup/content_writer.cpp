#include "cleanup/cleanup/content_writer.hpp"

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
  if (events_.empty()) { return append_body(line.text, line.end); }
  const bool complete = line.end == mail::LineEnd::complete;
  events_.push_back({.kind = complete ? ContentEvent::Kind::body_line : ContentEvent::Kind::body_piece,
                     .text = std::string(line.text)});
}

void ContentSink::on_problem(mail::MimeProblem problem, std::string_view context) {
  events_.push_back({.kind = ContentEvent::Kind::problem, .text = std::string(context), .problem = problem});
}

void ContentSink::append_field(std::string_view field) {
  for (const std::string_view line : text::split_exact(field, '\n')) { append_body(line, mail::LineEnd::complete); }
}

void ContentSink::append_body(std::string_view text, mail::LineEnd end) {
  const bool complete = end == mail::LineEnd::complete;
  writer_->append(complete ? queue::RecordType::line : queue::RecordType::partial_line, text);
  size_bytes_ += text.size() + (complete ? 1 : 0);
}

}  // namespace stagepost::cleanup
