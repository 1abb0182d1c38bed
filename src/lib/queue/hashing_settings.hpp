// hash_queue_names and hash_queue_depth from a configuration. Apart from directory.hpp, which needs no configuration.
#pragma once

#include "config/snapshot.hpp"
#include "queue/directory.hpp"
#include "queue/queue_id.hpp"

namespace stagepost::queue {

[[nodiscard]] Hashing hashing(const config::Snapshot& config);
/// enable_long_queue_ids
[[nodiscard]] IdStyle id_style(const config::Snapshot& config);

}  // namespace stagepost::queue
