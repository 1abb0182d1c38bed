// Fuzz target: master.cf text from an untrusted hand.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/assert.hpp"
#include "config/master_cf.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = stagepost::config::parse_master_cf(text, "master.cf");
  if (parsed) {
    // What was understood, written again from its columns, is understood the same way.
    for (const auto& service : parsed->services) {
      std::string line;
      for (const auto& column : service.columns) { line += column + " "; }
      const auto again = stagepost::config::parse_master_cf(line, "again");
      SP_ASSERT(again.has_value() && again->services.size() == 1);
      SP_ASSERT(again->services[0].overrides == service.overrides && again->services[0].args == service.args);
    }
  }
  return 0;
}
