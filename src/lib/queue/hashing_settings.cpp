#include "queue/hashing_settings.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace stagepost::queue {

// Both read the text, so that tools that load an unchecked configuration can use them too.
Hashing hashing(const config::Snapshot& config) {
  const auto depth = text::parse_unsigned(config.text("hash_queue_depth")).value_or(1);
  return {.names = config.list("hash_queue_names"),
          .depth = static_cast<unsigned>(std::clamp<std::uint64_t>(depth, 1, kMaxHashDepth))};
}

IdStyle id_style(const config::Snapshot& config) {
  return text::iequals(config.text("enable_long_queue_ids"), "yes") ? IdStyle::long_form : IdStyle::short_form;
}

}  // namespace stagepost::queue
