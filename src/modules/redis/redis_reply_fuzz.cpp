// A server's bytes, whole and in pieces, through hiredis' parser: no crash, nothing larger than what was fed.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "cluster_slot.hpp"
#include "resp_reader.hpp"

namespace {

std::size_t size_of(const stagepost::maps::redis::Reply& reply) {
  std::size_t size = reply.text.size() + 1;
  for (const auto& element : reply.elements) { size += size_of(element); }
  return size;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using stagepost::maps::redis::ReplyReader;
  if (size < 1) { return 0; }
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t step = 1 + data[0] % 16U;
  constexpr std::size_t kLimit = 4096;
  ReplyReader whole(kLimit);
  const auto reply = whole.feed(bytes);
  if (reply && *reply) {
    SP_ASSERT(size_of(**reply) <= size);
    (void)stagepost::maps::redis::parse_redirect((*reply)->text);
    (void)stagepost::maps::redis::slot_of((*reply)->text);
  }
  ReplyReader pieces(kLimit);
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const auto piece = pieces.feed(bytes.substr(at, step));
    if (!piece) { break; }
    if (*piece && reply && *reply) { SP_ASSERT(size_of(**piece) == size_of(**reply)); }
  }
  return 0;
}
