// Whatever a socket sends: the parser ends in a defined state, and a listing that was read survives being written.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "clients/queue_listing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::clients;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ShowqWriter writer;
  ShowqParser parser(writer);
  if (!parser.feed(bytes) || !parser.finished()) { return 0; }
  writer.finish();
  ShowqWriter again;
  ShowqParser reread(again);
  SP_ASSERT(reread.feed(writer.buffer()).has_value() && reread.finished());
  again.finish();
  SP_ASSERT(again.buffer() == writer.buffer());
  return 0;
}
