// The time of sending that smtp-source --stamp puts into messages.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost::smtp_sink {

/// Collects the beginning of a message, where the field must be, and reads it once.
class StampReader {
 public:
  void restart() { head_.clear(); }
  void add(std::string_view bytes) { head_ += bytes.substr(0, kHeadBytes - std::min(kHeadBytes, head_.size())); }
  /// The steady clock's time when the message was sent; nullopt without a field in the message's first 8 KiB.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> sent() const;

 private:
  static constexpr std::size_t kHeadBytes = 8192;
  std::string head_;
};

}  // namespace stagepost::smtp_sink
