// See the header.
#include "maps/message_keys.hpp"

#include <utility>

namespace stagepost::maps {

MessageKeys::MessageKeys(const MessageKeyOptions& options, std::function<void(std::string_view)> visit)
    : options_(options), visit_(std::move(visit)) {
  mail::MimeOptions mime;
  mime.disable_mime = !options.mime;
  parser_ = std::make_unique<mail::MimeParser>(mime, static_cast<mail::MimeSink&>(*this));
}

MessageKeys::~MessageKeys() = default;

void MessageKeys::feed(std::string_view line) { parser_->feed({.text = line}); }

void MessageKeys::finish() {
  parser_->finish();
  if (!partial_.empty()) { visit_(std::exchange(partial_, {})); }
}

void MessageKeys::on_header(mail::HeaderClass, const mail::HeaderField&, std::string_view text) {
  if (options_.headers) { visit_(text); }
}

void MessageKeys::on_header_end(mail::HeaderClass header_class) {
  after_header_ = header_class == mail::HeaderClass::primary;
}

void MessageKeys::on_body(mail::Line line) {
  if (!options_.body) { return; }
  // A header that ends without an empty line gets one, as in delivery.
  if (std::exchange(after_header_, false) && !line.text.empty()) { visit_(""); }
  if (line.end != mail::LineEnd::complete) {
    partial_ += line.text;
  } else if (partial_.empty()) {
    visit_(line.text);
  } else {
    visit_(std::exchange(partial_, {}).append(line.text));
  }
}

void MessageKeys::on_problem(mail::MimeProblem, std::string_view) {}  // none is asked for

}  // namespace stagepost::maps
