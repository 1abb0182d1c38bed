#include "delivery/smtp/content.hpp"

#include "base/text.hpp"
#include "mail/header.hpp"
#include "mail/mime.hpp"

namespace stagepost::smtp_client {

/// Passes everything through the MIME machine in downgrade mode and encodes what comes out.
class ContentSource::Downgrade final : public mail::MimeSink {
 public:
  explicit Downgrade(mail::ContentEncoder& encoder) : encoder_(encoder), parser_(options(), *this) {}

  void feed(mail::Line line, std::string& out) {
    out_ = &out;
    parser_.feed(line);
  }
  void finish(std::string& out) {
    out_ = &out;
    parser_.finish();
  }

  void on_header(mail::HeaderClass, const mail::HeaderField&, std::string_view text) override {
    for (const auto line : text::split_exact(text, '\n')) { encoder_.append({line, mail::LineEnd::complete}, *out_); }
  }
  void on_header_end(mail::HeaderClass) override {}
  void on_body(mail::Line line) override { encoder_.append(line, *out_); }
  void on_problem(mail::MimeProblem, std::string_view) override {}

 private:
  static mail::MimeOptions options() {
    mail::MimeOptions made;
    made.downgrade = true;
    return made;
  }

  mail::ContentEncoder& encoder_;
  std::string* out_ = nullptr;
  mail::MimeParser parser_;
};

ContentSource::ContentSource(queue::MessageReader& reader, Conversion conversion, std::size_t line_length_limit)
    : reader_(reader), encoder_({.line_length_limit = line_length_limit, .dot_stuffing = true}) {
  if (conversion == Conversion::to_7bit) { downgrade_ = std::make_unique<Downgrade>(encoder_); }
}

ContentSource::~ContentSource() = default;

Result<bool> ContentSource::read(std::string& out, std::size_t octets) {
  if (downgrade_) {
    const std::size_t goal = out.size() + octets;
    while (out.size() < goal) {
      SP_TRY(const auto line, reader_.next_line());
      if (!line) {
        downgrade_->finish(out);
        encoder_.finish(out);
        return false;
      }
      downgrade_->feed({line->text, line->complete ? mail::LineEnd::complete : mail::LineEnd::partial}, out);
    }
    return true;
  }
  text_.clear();
  SP_TRY(const bool more, reader_.read_content(text_, octets));
  encoder_.append_text(text_, out);
  if (!more) { encoder_.finish(out); }
  return more;
}

Result<bool> has_eight_bit_header(queue::MessageReader& reader, const queue::Envelope& envelope) {
  SP_TRY(reader.rewind_content(envelope));
  bool starts_line = true;
  for (;;) {
    SP_TRY(const auto line, reader.next_line());
    if (!line) { return false; }
    if (starts_line && !mail::is_header_continuation(line->text) && mail::header_name_length(line->text) == 0) {
      return false;
    }
    if (!text::is_ascii(line->text)) { return true; }
    starts_line = line->complete;
  }
}

}  // namespace stagepost::smtp_client
