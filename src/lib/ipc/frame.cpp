#include "ipc/frame.hpp"

namespace stagepost::ipc {

Result<FrameHeader> parse_header(std::string_view bytes) {
  SP_ASSERT(bytes.size() >= kHeaderBytes);
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
  FrameHeader header{.payload_bytes = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24,
                     .type = static_cast<std::uint16_t>(byte(4) | byte(5) << 8)};
  if (header.payload_bytes > kMaxMessageBytes) { return failure("message too large", std::errc::bad_message); }
  return header;
}

}  // namespace stagepost::ipc
