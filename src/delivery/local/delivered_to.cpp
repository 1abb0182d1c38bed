#include "delivery/local/delivered_to.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "mail/address.hpp"
#include "mail/header.hpp"

namespace stagepost::local {
namespace {
constexpr std::size_t kFieldOctets = 2048;
}

DeliveredToScan::DeliveredToScan(std::string_view address) : wanted_(mail::fold_case(address)) {}

DeliveredToScan::Progress DeliveredToScan::feed(std::string_view text, bool complete) {
  if (at_line_start_) {
    const bool continues = !text.empty() && mail::is_header_continuation(text);
    if (!continues) {
      end_field();
      if (mail::header_name_length(text) == 0) { return Progress::end_of_header; }
    }
  }
  at_line_start_ = complete;
  field_.append(text.substr(0, kFieldOctets - std::min(kFieldOctets, field_.size())));
  return Progress::more;
}

void DeliveredToScan::end_field() {
  const auto field = mail::parse_header_field(field_);
  if (field && field->kind == mail::HeaderKind::delivered_to) {
    const std::string address = mail::unquote_822_local(text::trim(field->body));
    found_ = found_ || mail::fold_case(address) == wanted_;
  }
  field_.clear();
}

bool DeliveredToScan::found() {
  end_field();
  return found_;
}

}  // namespace stagepost::local
