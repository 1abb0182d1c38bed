// What a configuration says about tables: the OpenContext that every program starts from when it opens them, and how
// addresses with an extension are looked up.
#pragma once

#include "config/snapshot.hpp"
#include "maps/lookup_order.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// Table types with modules, smtputf8_enable, lmdb_map_size, berkeley_db_create_buffer_size; warnings go to the log.
/// `loop` as in OpenContext. The context keeps the snapshot alive.
[[nodiscard]] OpenContext make_context(const config::SnapshotPtr& config, net::EventLoop* loop);

/// recipient_delimiter, owner_request_special and double_bounce_sender.
[[nodiscard]] ExtensionRule extension_rule(const config::Snapshot& config);

/// propagate_unmatched_extensions.
[[nodiscard]] ExtensionPropagation extension_propagation(const config::Snapshot& config);

}  // namespace stagepost::maps
