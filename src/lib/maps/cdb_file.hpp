// cdb: constant databases, "name.cdb" (tinycdb): the smallest and fastest file for tables that are always written as a
// whole. The format allows 4 GB. Keys and values have no NUL at their end unless postmap -N or an old file says so.
#pragma once

#include "maps/open.hpp"

namespace stagepost::maps {

/// For a Registry. A replaced file is picked up; a damaged one is refused and the last good one kept.
[[nodiscard]] TableType cdb_type();

}  // namespace stagepost::maps
