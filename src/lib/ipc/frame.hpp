// Frames on the wire: 32-bit payload length, 16-bit message type, payload. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "base/result.hpp"
#include "ipc/codec.hpp"

namespace stagepost::ipc {

inline constexpr std::size_t kHeaderBytes = 6;

/// One received message, not decoded yet. `payload` is valid until the channel's next receive.
struct Frame {
  std::uint16_t type = 0;
  std::string_view payload;

  template <class Message>
  [[nodiscard]] bool is() const {
    return type == Message::kType;
  }
  /// bad_message when the type differs or the payload does not fit it exactly.
  template <class Message>
  [[nodiscard]] Result<Message> as() const {
    if (!is<Message>()) { return failure("unexpected message type", std::errc::bad_message); }
    return decode<Message>(payload);
  }
};

/// Appends `message` as a frame. A message above kMaxMessageBytes is a broken invariant of the sender.
template <class Message>
void append_frame(std::string& out, const Message& message) {
  const std::size_t start = out.size();
  out.append(kHeaderBytes, '\0');
  Encoder encoder(out);
  message.fields(encoder);
  const std::size_t length = out.size() - start - kHeaderBytes;
  SP_ASSERT(length <= kMaxMessageBytes);
  for (std::size_t i = 0; i < 4; ++i) {
    out[start + i] = static_cast<char>(static_cast<unsigned char>(length >> (8 * i)));
  }
  out[start + 4] = static_cast<char>(Message::kType & 0xff);
  out[start + 5] = static_cast<char>(Message::kType >> 8);
}

/// What a frame's first six bytes say.
struct FrameHeader {
  std::size_t payload_bytes = 0;
  std::uint16_t type = 0;
};
/// bad_message for a length above kMaxMessageBytes. `bytes` has at least kHeaderBytes.
[[nodiscard]] Result<FrameHeader> parse_header(std::string_view bytes);

}  // namespace stagepost::ipc
