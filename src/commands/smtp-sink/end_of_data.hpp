// Finds the CRLF.CRLF that ends a message, however the bytes are split.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace stagepost::smtp_sink {

class EndOfData {
 public:
  /// How many of `bytes` belong to the message, its final dot line included; nullopt: all do and the end is still to
  /// come. After the end the object is ready for the next message.
  [[nodiscard]] std::optional<std::size_t> find(std::string_view bytes);

 private:
  // How much of the end was seen; right after DATA its first line break counts as seen.
  std::size_t matched_ = 2;
};

}  // namespace stagepost::smtp_sink
