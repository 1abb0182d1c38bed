// The OpenContext that a configuration asks for: what every program starts from when it opens tables.
#pragma once

#include "config/snapshot.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// Table types with modules, smtputf8_enable, lmdb_map_size, berkeley_db_create_buffer_size; warnings go to the log.
/// `loop` as in OpenContext. The context keeps the snapshot alive.
[[nodiscard]] OpenContext make_context(const config::SnapshotPtr& config, net::EventLoop* loop);

}  // namespace stagepost::maps
