// A queue listing as a stream: what showq(8) sends on public/showq and postqueue(1) reads. The protocol is public and
// Postfix's: attributes as pairs of NUL-terminated strings; an empty name ends a list. First the list "protocol", then
// one list per message ("queue_name" ... "sender", then "recipient" and "reason" for each recipient), then an empty
// list. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace stagepost::clients {

struct ListedMessage {
  std::string queue_name;  ///< "deferred"
  std::string queue_id;
  std::int64_t arrival_time = 0;  ///< seconds since the epoch
  std::int64_t size_bytes = 0;    ///< of the content
  bool forced_expire = false;     ///< postsuper -e
  std::string sender;             ///< external form; MAILER-DAEMON for the null sender
};

struct ListedRecipient {
  std::string address;  ///< external form
  std::string reason;   ///< why it was deferred; empty: not known
};

/// Receives a listing, in order: any number of (message, its recipients, end of message).
class ListingSink {
 public:
  virtual ~ListingSink() = default;
  virtual void on_message(const ListedMessage& message) = 0;
  virtual void on_recipient(const ListedRecipient& recipient) = 0;
  virtual void on_message_end() = 0;
};

/// Writes a listing as the protocol has it. Take the bytes out of buffer() as they come.
class ShowqWriter final : public ListingSink {
 public:
  ShowqWriter();
  /// Writes messages alone, without what a listing begins with: a part to be added to another writer's buffer.
  [[nodiscard]] static ShowqWriter part() { return ShowqWriter(std::string()); }
  void on_message(const ListedMessage& message) override;
  void on_recipient(const ListedRecipient& recipient) override;
  void on_message_end() override;
  void finish();
  [[nodiscard]] std::string& buffer() { return buffer_; }

 private:
  explicit ShowqWriter(std::string begun) : buffer_(std::move(begun)) {}
  void attribute(std::string_view name, std::string_view value);
  std::string buffer_;
};

/// Longest name or value that is accepted.
inline constexpr std::size_t kShowqTokenOctets = 256 * 1024;

/// Reads a listing, in pieces of any size; what the sink gets does not depend on them.
class ShowqParser {
 public:
  explicit ShowqParser(ListingSink& sink) : sink_(sink) {}
  /// bad_message: not this protocol, or a limit was passed. Nothing more may be fed after an error.
  [[nodiscard]] Result<> feed(std::string_view bytes);
  /// The end of the listing was seen. A connection that closes before it was cut off.
  [[nodiscard]] bool finished() const { return state_ == State::finished; }

 private:
  enum class State : std::uint8_t { protocol, protocol_value, protocol_end, name, value, finished };
  [[nodiscard]] Result<> take(std::string_view token);
  [[nodiscard]] Result<> take_value(std::string_view value);
  [[nodiscard]] Result<> end_list();
  void flush_recipient();

  ListingSink& sink_;
  State state_ = State::protocol;
  std::string token_;
  std::string name_;
  ListedMessage message_;
  ListedRecipient recipient_;
  bool in_message_ = false;  // some attribute was seen
  bool announced_ = false;   // on_message was called
  bool has_recipient_ = false;
};

}  // namespace stagepost::clients
