// A queue listing as people read it (mailq) and as programs do (JSON lines). Pure: appends to a buffer.
#pragma once

#include <cstdint>
#include <string>

#include "clients/queue_listing.hpp"

namespace stagepost::postqueue {

/// enable_long_queue_ids: another layout.
enum class IdColumn : std::uint8_t { short_form, long_form };

/// sendmail's layout: heading, an entry per message, a last line with the totals, or "Mail queue is empty".
class TextListing final : public clients::ListingSink {
 public:
  explicit TextListing(IdColumn ids) : ids_(ids) {}
  void on_message(const clients::ListedMessage& message) override;
  void on_recipient(const clients::ListedRecipient& recipient) override;
  void on_message_end() override {}
  void finish();
  /// What is ready to be printed; the caller empties it.
  [[nodiscard]] std::string& buffer() { return buffer_; }

 private:
  IdColumn ids_;
  std::string buffer_;
  std::string reason_;  // the last one shown for this message
  std::string date_;
  std::int64_t date_of_ = 0;  // the time that date_ shows
  std::int64_t bytes_ = 0;
  std::int64_t messages_ = 0;
};

/// One JSON object per message, each on a line (postqueue(1), JSON OBJECT FORMAT).
class JsonListing final : public clients::ListingSink {
 public:
  void on_message(const clients::ListedMessage& message) override;
  void on_recipient(const clients::ListedRecipient& recipient) override;
  void on_message_end() override;
  [[nodiscard]] std::string& buffer() { return buffer_; }

 private:
  std::string buffer_;
  bool first_recipient_ = true;
};

}  // namespace stagepost::postqueue
