#include "commands/sendmail/message_input.hpp"

#include "mail/address_list.hpp"
#include "mail/header.hpp"
#include "queue/record.hpp"

namespace stagepost::sendmail {
namespace {

mail::DecoderOptions decoder_options(const MessageInput::Settings& settings) {
  mail::DecoderOptions options;
  options.dots = settings.dot_is_data ? mail::DecoderOptions::Dots::plain : mail::DecoderOptions::Dots::local;
  options.bare_newline = mail::BareNewline::allow;
  options.line_length_limit = settings.line_length_limit;
  return options;
}

}  // namespace

MessageInput::MessageInput(const Settings& settings)
    : settings_(settings), decoder_(decoder_options(settings)), in_header_(settings.extract_recipients) {}

void MessageInput::feed(std::string_view bytes, std::string& records) {
  decoder_.feed(bytes, [&](mail::Line line) { on_line(line, records); });
}

void MessageInput::finish(std::string& records) {
  if (!decoder_.ended()) {
    decoder_.finish([&](mail::Line line) { on_line(line, records); });
  }
  end_field();
}

void MessageInput::on_line(mail::Line line, std::string& records) {
  // mbox leaves a "From " line in front of what users pipe in.
  if (first_line_ && line.text.starts_with("From ")) { skipping_from_line_ = true; }
  first_line_ = false;
  const bool complete = line.end == mail::LineEnd::complete;
  if (skipping_from_line_) {
    skipping_from_line_ = !complete;
    return;
  }
  if (in_header_) {
    if (at_line_start_) {
      on_header_line(line.text);
    } else if (field_.size() + line.text.size() <= settings_.header_size_limit) {
      field_ += line.text;
    }
  }
  at_line_start_ = complete;
  queue::append_record(records, complete ? queue::RecordType::line : queue::RecordType::partial_line, line.text);
}

void MessageInput::on_header_line(std::string_view line) {
  if (mail::is_header_continuation(line) && !field_.empty()) {
    if (field_.size() + line.size() <= settings_.header_size_limit) {
      field_ += '\n';
      field_ += line;
    }
    return;
  }
  end_field();
  if (mail::header_name_length(line) == 0) {
    in_header_ = false;
    return;
  }
  field_ = line;
}

void MessageInput::end_field() {
  const auto field = mail::parse_header_field(field_);
  if (field) {
    const mail::HeaderTraits traits = mail::header_traits(field->kind);
    if (traits.extract_recipients) {
      for (auto& listed : mail::extract_addresses(field->body)) {
        (traits.resent ? resent_ : recipients_).push_back(std::move(listed.address));
      }
    }
  }
  field_.clear();
}

}  // namespace stagepost::sendmail
