#include "commands/postqueue/listing_text.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <iterator>

#include <fmt/format.h>

#include "base/safe_text.hpp"

namespace stagepost::postqueue {
namespace {

constexpr std::size_t kReasonColumn = 78;  // reasons end here
constexpr std::size_t kValueOctets = 1 << 18;

bool is_printable_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

/// Addresses and reasons come from peers: nothing that is not text may reach a terminal. `room` keeps what is not
/// `value` itself.
std::string_view shown(std::string_view value, std::string& room) {
  if (value.size() <= kValueOctets && is_printable_ascii(value)) { return value; }
  room = LogText(PeerBytes(value), kValueOctets).str();
  return room;
}

void append_quoted(std::string& out, std::string_view value) {
  std::string room;
  out += '"';
  for (const char c : shown(value, room)) {
    if (c == '"' || c == '\\') { out += '\\'; }
    out += c;
  }
  out += '"';
}

/// To the right end of a column, which takes as many characters as it needs.
void append_right(std::string& out, std::string_view text, std::size_t column) {
  // What a character beyond ASCII takes of a line, fmt knows.
  if (!is_printable_ascii(text)) {
    out += fmt::format("{:>{}}", text, column);
    return;
  }
  if (text.size() < column) { out.append(column - text.size(), ' '); }
  out += text;
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
  std::string room;
  std::string id(shown(message.queue_id, room));
  if (message.queue_name == "active") { id += '*'; }
  if (message.queue_name == "hold") { id += '!'; }
  if (message.forced_expire) { id += '#'; }
  // Many messages arrive in the same second.
  if (message.arrival_time != date_of_ || date_.empty()) {
    date_of_ = message.arrival_time;
    date_ = date(date_of_);
  }
  const std::string_view sender = shown(message.sender, room);
  const auto out = std::back_inserter(buffer_);
  if (wide) {
    fmt::format_to(out, "{:<17} {:>8} {} {}\n", id, message.size_bytes, date_, sender);
  } else {
    fmt::format_to(out, "{:<11} {:>7} {}  {}\n", id, message.size_bytes, date_, sender);
  }
  reason_.clear();
  bytes_ += message.size_bytes;
  ++messages_;
}

void TextListing::on_recipient(const clients::ListedRecipient& recipient) {
  std::string room;
  const std::string_view reason = shown(recipient.reason, room);
  if (reason != reason_) {
    reason_ = reason;
    append_right(buffer_, "(" + (reason_.empty() ? "reason unavailable" : reason_) + ")", kReasonColumn);
    buffer_ += '\n';
  }
  buffer_.append(ids_ == IdColumn::long_form ? 47 : 41, ' ');
  buffer_ += shown(recipient.address, room);
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
  buffer_ += "{\"queue_name\": ";
  append_quoted(buffer_, message.queue_name);
  buffer_ += ", \"queue_id\": ";
  append_quoted(buffer_, message.queue_id);
  fmt::format_to(std::back_inserter(buffer_),
                 ", \"arrival_time\": {}, \"message_size\": {}, \"forced_expire\": {}, \"sender\": ",
                 message.arrival_time, message.size_bytes, message.forced_expire);
  append_quoted(buffer_, message.sender);
  buffer_ += ", \"recipients\": [";
  first_recipient_ = true;
}

void JsonListing::on_recipient(const clients::ListedRecipient& recipient) {
  buffer_ += first_recipient_ ? "" : ", ";
  first_recipient_ = false;
  buffer_ += "{\"address\": ";
  append_quoted(buffer_, recipient.address);
  if (!recipient.reason.empty()) {
    buffer_ += ", \"delay_reason\": ";
    append_quoted(buffer_, recipient.reason);
  }
  buffer_ += '}';
}

void JsonListing::on_message_end() { buffer_ += "]}\n"; }

}  // namespace stagepost::postqueue
