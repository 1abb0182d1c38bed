// Whatever is in a report log: entries have a recipient, and an entry that was read survives being written again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "delivery/report_log.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  delivery::ReportLogParser parser;
  const auto check = [](const delivery::RecipientReport& entry) {
    SP_ASSERT(!entry.recipient.address.empty());
    delivery::ReportLogParser again;
    std::size_t entries = 0;
    const std::string copy = delivery::format_entry(entry, delivery::ReadableLine::yes);
    for (const auto line : text::split_exact(copy, '\n')) {
      const auto found = again.feed(line);
      if (found) { ++entries; }
    }
    SP_ASSERT(entries == 1);
  };
  for (const auto line : text::split_exact(text, '\n')) {
    if (const auto entry = parser.feed(line)) { check(*entry); }
  }
  if (const auto entry = parser.finish()) { check(*entry); }
  return 0;
}
