// Tables for tables: what ModuleContext::open_table is made of.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "maps/module.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// Opens tables as `context` says but for the access, each with an event loop of its own, so that also types which need
/// one can be asked from any thread.
[[nodiscard]] std::function<Result<std::shared_ptr<NestedTable>>(std::string_view type_and_name, Access access)>
nested_table_opener(const OpenContext& context);

}  // namespace stagepost::maps
