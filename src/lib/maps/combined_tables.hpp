// Tables made of other tables or of choices: unionmap, pipemap, randmap (DATABASE_README).
#pragma once

#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "maps/open.hpp"
#include "maps/table.hpp"

namespace stagepost::maps {

/// Every table is asked; what they find is joined with commas. One failed lookup fails it all.
[[nodiscard]] Result<std::unique_ptr<Table>> open_unionmap(std::string_view name, const OpenContext& context);
/// The result of a table is the key for the next; nothing found anywhere is nothing found.
[[nodiscard]] Result<std::unique_ptr<Table>> open_pipemap(std::string_view name, const OpenContext& context);
/// Any one of the listed values, whatever the key.
[[nodiscard]] Result<std::unique_ptr<Table>> open_randmap(std::string_view name, const OpenContext& context);

}  // namespace stagepost::maps
