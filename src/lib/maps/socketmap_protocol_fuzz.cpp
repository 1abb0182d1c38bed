// Any bytes of a socketmap: server, in one piece or in many.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "maps/socketmap_protocol.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  using namespace stagepost::maps;
  constexpr std::size_t kLimit = 1000;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);

  const auto whole = parse_netstring(bytes, kLimit);
  // More is never asked for without end.
  SP_ASSERT(!whole || *whole || bytes.size() < kLimit + 30);
  if (whole && *whole) {
    SP_ASSERT((*whole)->payload.size() <= kLimit && (*whole)->size_bytes <= bytes.size());
    // A shorter piece needs more.
    const auto shorter = parse_netstring(bytes.substr(0, (*whole)->size_bytes - 1), kLimit);
    SP_ASSERT(shorter && !*shorter);
  }
  if (!whole) {
    // What was refused stays refused.
    SP_ASSERT(!parse_netstring(std::string(bytes) + "0:,", kLimit));
  }

  const std::string_view payload = whole && *whole ? (*whole)->payload : bytes;
  const auto reply = parse_socketmap_reply(payload);
  if (reply) {
    SP_ASSERT(reply->text.size() <= payload.size() && !reply->text.contains('\0'));
    SP_ASSERT((reply->status == SocketmapReply::Status::not_found) == payload.starts_with("NOTFOUND"));
  }

  const std::string request = socketmap_request("map", bytes);
  const auto parsed = parse_netstring(request, request.size());
  SP_ASSERT(parsed && *parsed && (*parsed)->size_bytes == request.size());
  SP_ASSERT((*parsed)->payload == "map " + std::string(bytes));
  return 0;
}
