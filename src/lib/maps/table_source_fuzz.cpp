// Fuzz target: source files of postmap and postalias.
#include <cstdint>
#include <string>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "maps/table_source.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace stagepost;
  using namespace stagepost::maps;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const std::size_t lines = static_cast<std::size_t>(std::count(source.begin(), source.end(), '\n')) + 1;
  for (const Utf8 utf8 : {Utf8::check, Utf8::off}) {
    OpenContext context;
    context.utf8 = utf8;
    std::size_t last_line = 0;
    for (const SourceFormat format : {SourceFormat::postmap, SourceFormat::aliases}) {
      last_line = 0;
      const auto parsed = parse_source("fuzz", source, format, IgnoringSuffix::yes, context, [&](SourceEntry entry) {
        SP_ASSERT(!entry.key.empty() && !entry.value.empty());
        SP_ASSERT(entry.line_number > last_line && entry.line_number <= lines);
        SP_ASSERT(!entry.key.contains('\0') && !entry.value.contains('\0'));
        last_line = entry.line_number;
        if (format == SourceFormat::aliases) {
          // What is stored is in normal form: storing it again changes nothing.
          const auto again = parse_alias_line("k: " + entry.value);
          SP_ASSERT(again && again->value == entry.value);
        }
        return Result<>{};
      });
      SP_ASSERT(parsed.has_value());
    }
  }
  return 0;
}
