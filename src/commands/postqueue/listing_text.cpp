#include "commands/postqueue/listing_text.hpp"

#include <array>
#include <ctime>

#include <fmt/format.h>

#include "base/safe_text.hpp"

namespace stagepost::postqueue {
namespace {

constexpr std::size_t kReasonColumn = 78;  // reasons end here
constexpr std::size_t kValueOctets = 1 << 18;

/// Addresses and reasons come from peers: nothing that is not text may reach a terminal.
std::string shown(std::string_view value) { return LogText(PeerBytes(value), kValueOctets).str(); }

std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (const char c : shown(value)) {
    if (c == '"' || c == '\\') { out += '\\'; }
    out += c;
  }
  out += '"';
  return out;
}

std::string date(std::int64_t seconds) {
  const auto when = static_cast<std::time_t>(seconds);
  std::tm local{};
  std::array<char, 64> text;
  if (::localtime_r(&when, &local) == nullptr) { return "?"; }
  return {text.data(), std::strftime(text.data(), text.size(), "%a %b %e %H:%M:%S", &local)};
}

}  // namespace

void TextListing::on_message(const clients::ListedMessage& message) {
  const bool wide = ids_ == IdColumn::long_form;
  if (messages_ > 0) {
    buffer_ += '\n';
  } else {
    buffer_ += wide ? "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
                    : "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n";
  }
  std::string id = shown(message.queue_id);
  if (message.queue_name == "active") { id += '*'; }
  if (message.queue_name == "hold") { id += '!'; }
  if (message.forced_expire) { id += '#'; }
  const std::string when = date(message.arrival_time);
  buffer_ += wide ? fmt::format("{:<17} {:>8} {} {}\n", id, message.size_bytes, when, shown(message.sender))
                  : fmt::format("{:<11} {:>7} {}  {}\n", id, message.size_bytes, when, shown(message.sender));
  reason_.clear();
  bytes_ += message.size_bytes;
  ++messages_;
}

void TextListing::on_recipient(const clients::ListedRecipient& recipient) {
  const std::string reason = shown(recipient.reason);
  if (reason != reason_) {
    buffer_ += fmt::format("{:>{}}\n", "(" + (reason.empty() ? "reason unavailable" : reason) + ")", kReasonColumn);
    reason_ = reason;
  }
  buffer_.append(ids_ == IdColumn::long_form ? 47 : 41, ' ');
  buffer_ += shown(recipient.address);
  buffer_ += '\n';
}

void TextListing::finish() {
  if (messages_ == 0) {
    buffer_ += "Mail queue is empty\n";
    return;
  }
  buffer_ += fmt::format("\n-- {} Kbytes in {} Request{}.\n", bytes_ / 1024, messages_, messages_ == 1 ? "" : "s");
}

void JsonListing::on_message(const clients::ListedMessage& message) {
  buffer_ += fmt::format(
      "{{\"queue_name\": {}, \"queue_id\": {}, \"arrival_time\": {}, \"message_size\": {}, \"forced_expire\": {}, "
      "\"sender\": {}, \"recipients\": [",
      quoted(message.queue_name), quoted(message.queue_id), message.arrival_time, message.size_bytes,
      message.forced_expire, quoted(message.sender));
  first_recipient_ = true;
}

void JsonListing::on_recipient(const clients::ListedRecipient& recipient) {
  buffer_ += first_recipient_ ? "" : ", ";
  first_recipient_ = false;
  buffer_ += "{\"address\": " + quoted(recipient.address);
  if (!recipient.reason.empty()) { buffer_ += ", \"delay_reason\": " + quoted(recipient.reason); }
  buffer_ += '}';
}

void JsonListing::on_message_end() { buffer_ += "]}\n"; }

}  // namespace stagepost::postqueue
