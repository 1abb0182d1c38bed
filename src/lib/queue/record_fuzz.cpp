// Records and their values: what is parsed is written back to the same bytes or to an equal value.
#include <cstdint>

#include "base/assert.hpp"
#include "queue/maildrop_format.hpp"
#include "queue/record.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost::queue;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  SubmissionCheck check;
  while (!rest.empty()) {
    const auto parsed = parse_record(rest, 4096);
    if (!parsed) { break; }
    const auto& record = parsed->record;
    SP_ASSERT(parsed->octets >= record_octets(record.data.size()) && parsed->octets <= rest.size());
    std::string written;
    append_record(written, record.type, record.data);
    const auto again = parse_record(written, 4096);
    SP_ASSERT(again && again->record.type == record.type && again->record.data == record.data);
    if (const auto value = parse_size(record.data)) { SP_ASSERT(parse_size(format_size(*value)) == value); }
    if (const auto value = parse_pointer(record.data)) { SP_ASSERT(parse_pointer(format_pointer(*value)) == value); }
    if (const auto value = parse_time(record.data)) { SP_ASSERT(parse_time(format_time(*value)) == value); }
    static_cast<void>(parse_attribute(record.data));
    static_cast<void>(check.check(record));
    rest.remove_prefix(parsed->octets);
  }
  return 0;
}
