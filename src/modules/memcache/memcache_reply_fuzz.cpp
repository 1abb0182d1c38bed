// A server's bytes, whole and in pieces: the same outcome, within the limits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "memcache_reply.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using stagepost::maps::memcache::ReplyReader;
  if (size < 2) { return 0; }
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto command = static_cast<ReplyReader::Command>(data[0] % 3);
  const std::size_t step = 1 + data[1] % 16U;
  constexpr stagepost::maps::memcache::Limits kLimits{.line_bytes = 60, .data_bytes = 100};
  ReplyReader whole(command, "key", kLimits);
  const auto complete = whole.feed(bytes);
  ReplyReader pieces(command, "key", kLimits);
  stagepost::Result<bool> last = false;
  for (std::size_t at = 0; at < bytes.size() && last; at += step) { last = pieces.feed(bytes.substr(at, step)); }
  SP_ASSERT(complete.has_value() == last.has_value());
  if (complete) {
    SP_ASSERT(*complete == *last);
    SP_ASSERT(whole.value() == pieces.value());
    SP_ASSERT(!whole.value() || whole.value()->size() <= kLimits.data_bytes);
  }
  return 0;
}
