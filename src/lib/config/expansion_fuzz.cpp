// Fuzz target: $ expansion from an untrusted hand.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/assert.hpp"
#include "config/expansion.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr stagepost::config::ExpansionLimits kLimits{.depth = 20, .result_bytes = 4096};
  const auto result = stagepost::config::expand(
      text,
      [](std::string_view name) -> stagepost::Result<std::optional<std::string>> {
        if (name.size() > 4) { return std::nullopt; }
        return std::string(name) + "$}{";
      },
      kLimits);
  SP_ASSERT(!result || result->size() <= kLimits.result_bytes);
  return 0;
}
