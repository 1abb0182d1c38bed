// Defaults of the Table interface: what a table that always answers at once needs not write itself.
#include "maps/table.hpp"

#include "base/assert.hpp"

namespace stagepost::maps {

net::Task<Result<Found>> Table::find(std::string key) {
  std::optional<Result<Found>> answer = find_now(key);
  SP_ASSERT(answer.has_value());
  co_return std::move(*answer);
}

Result<> Table::each(const Visit& /*visit*/) {
  return failure("table " + name_ + ": sequence operation is not supported");
}

net::Task<Result<>> Table::put(std::string /*key*/, std::string /*value*/) {
  co_return failure("table " + name_ + ": update operation is not supported");
}

net::Task<Result<bool>> Table::erase(std::string /*key*/) {
  co_return failure("table " + name_ + ": delete operation is not supported");
}

}  // namespace stagepost::maps
