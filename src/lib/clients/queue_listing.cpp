#include "clients/queue_listing.hpp"

#include <utility>

#include "base/text.hpp"

namespace stagepost::clients {
namespace {

constexpr std::string_view kProtocol = "mail_queue_list_protocol";

std::unexpected<Error> malformed(std::string what) { return failure(std::move(what), std::errc::bad_message); }

}  // namespace

ShowqWriter::ShowqWriter() {
  attribute("protocol", kProtocol);
  buffer_ += '\0';
}

void ShowqWriter::attribute(std::string_view name, std::string_view value) {
  buffer_ += name;
  buffer_ += '\0';
  // A NUL would end the value early and turn its rest into names.
  buffer_ += value.substr(0, value.find('\0'));
  buffer_ += '\0';
}

void ShowqWriter::on_message(const ListedMessage& message) {
  attribute("queue_name", message.queue_name);
  attribute("queue_id", message.queue_id);
  attribute("time", std::to_string(message.arrival_time));
  attribute("size", std::to_string(message.size_bytes));
  attribute("forced_expire", message.forced_expire ? "1" : "0");
  attribute("sender", message.sender);
}

void ShowqWriter::on_recipient(const ListedRecipient& recipient) {
  attribute("recipient", recipient.address);
  attribute("reason", recipient.reason);
}

void ShowqWriter::on_message_end() { buffer_ += '\0'; }
void ShowqWriter::finish() { buffer_ += '\0'; }

Result<> ShowqParser::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (finished()) { return malformed("data after the end of the listing"); }
    const std::size_t end = bytes.find('\0');
    const std::string_view piece = bytes.substr(0, end);
    if (token_.size() + piece.size() > kShowqTokenOctets) { return malformed("attribute too long"); }
    if (end == std::string_view::npos) {
      token_ += piece;
      return {};
    }
    bytes.remove_prefix(end + 1);
    if (token_.empty()) {
      SP_TRY(take(piece));
    } else {
      token_ += piece;
      const std::string token = std::exchange(token_, {});
      SP_TRY(take(token));
    }
  }
  return {};
}

Result<> ShowqParser::take(std::string_view token) {
  switch (state_) {
    case State::protocol:
      if (token != "protocol") { return malformed("no protocol attribute"); }
      state_ = State::protocol_value;
      return {};
    case State::protocol_value:
      if (token != kProtocol) { return malformed("another protocol: " + std::string(token.substr(0, 100))); }
      state_ = State::protocol_end;
      return {};
    case State::protocol_end:
      if (!token.empty()) { return malformed("unexpected attribute"); }
      state_ = State::name;
      return {};
    case State::name:
      if (token.empty()) { return end_list(); }
      name_ = token;
      state_ = State::value;
      return {};
    case State::value:
      state_ = State::name;
      return take_value(token);
    case State::finished:
      break;
  }
  return malformed("data after the end of the listing");
}

Result<> ShowqParser::take_value(std::string_view value) {
  in_message_ = true;
  if (name_ == "recipient") {
    if (!announced_) {
      if (message_.queue_id.empty() || message_.queue_name.empty()) { return malformed("recipient without message"); }
      sink_.on_message(message_);
      announced_ = true;
    }
    flush_recipient();
    recipient_.address = value;
    has_recipient_ = true;
  } else if (name_ == "reason") {
    if (!has_recipient_) { return malformed("reason without recipient"); }
    recipient_.reason = value;
  } else if (name_ == "queue_name") {
    message_.queue_name = value;
  } else if (name_ == "queue_id") {
    message_.queue_id = value;
  } else if (name_ == "sender") {
    message_.sender = value;
  } else if (name_ == "time" || name_ == "size" || name_ == "forced_expire") {
    const auto number = text::parse_signed(value);
    if (!number) { return malformed("malformed number: " + std::string(value.substr(0, 100))); }
    if (name_ == "time") { message_.arrival_time = *number; }
    if (name_ == "size") { message_.size_bytes = *number; }
    if (name_ == "forced_expire") { message_.forced_expire = *number != 0; }
  }
  // Other attributes: of a version newer than this one.
  return {};
}

void ShowqParser::flush_recipient() {
  if (!std::exchange(has_recipient_, false)) { return; }
  sink_.on_recipient(recipient_);
  recipient_ = {};
}

Result<> ShowqParser::end_list() {
  if (!in_message_) {
    state_ = State::finished;
    return {};
  }
  if (!announced_) {
    if (message_.queue_id.empty() || message_.queue_name.empty()) { return malformed("message without queue ID"); }
    sink_.on_message(message_);
  }
  flush_recipient();
  sink_.on_message_end();
  message_ = {};
  in_message_ = false;
  announced_ = false;
  return {};
}

}  // namespace stagepost::clients
