// A whole segment, and completion slots, of hostile bytes: the readers end, and what they return lies within the input.
#include <cstdint>

#include "base/assert.hpp"
#include "queue/journal_format.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::queue::journal;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto header = parse_header(bytes);
  // Also with a header that fits, so that the fuzzer need not find checksums to get to the records.
  SegmentReader reader(bytes, header ? *header : SegmentHeader{.salt = 0x5353535353535353, .segment_octets = size});
  std::uint64_t last = 0;
  std::size_t octets = 0;
  while (const auto record = reader.next()) {
    SP_ASSERT(record->number > last);
    last = record->number;
    octets += record->content.size();
    SP_ASSERT(octets <= size);
    SP_ASSERT(record->content.empty() ||
              (record->content.data() >= bytes.data() &&
               record->content.data() + record->content.size() <= bytes.data() + bytes.size()));
  }
  for (std::size_t at = 0; at + kCompletionOctets <= size; at += kCompletionOctets) {
    const auto completion = parse_completion(bytes.substr(at, kCompletionOctets));
    if (!completion) { continue; }
    std::string again;
    append_completion(again, *completion);
    SP_ASSERT(parse_completion(again));
  }
  return 0;
}
