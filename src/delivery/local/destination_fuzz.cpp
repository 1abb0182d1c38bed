// Alias values, ~/.forward and :include: lines: any bytes, cut anywhere, give the same destinations.
#include <cstdint>

#include "base/assert.hpp"
#include "delivery/local/destination.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::local;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  DestinationLines whole(64);
  auto expected = whole.feed(bytes);
  for (auto& more : whole.finish()) { expected.push_back(std::move(more)); }
  DestinationLines pieces(64);
  std::vector<Destination> found;
  for (const char& byte : bytes) {
    for (auto& more : pieces.feed({&byte, 1})) { found.push_back(std::move(more)); }
  }
  for (auto& more : pieces.finish()) { found.push_back(std::move(more)); }
  SP_ASSERT(found == expected);
  std::size_t text_octets = 0;
  const auto parsed = parse_destinations(bytes);
  for (const auto& destination : parsed) { text_octets += destination.text.size(); }
  // Quoting an address may double it; nothing else grows.
  SP_ASSERT(text_octets <= 2 * size + 2 * parsed.size());
  return 0;
}
