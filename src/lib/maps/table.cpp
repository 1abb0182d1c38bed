// Defaults of the Table interface: what a table that always answers at once needs not write itself.
#include "maps/table.hpp"

#include "base/assert.hpp"

namespace stagepost::maps {

boost::asio::awaitable<Result<Found>> Table::find(std::string key) {
  std::optional<Result<Found>> answer = find_now(key);
  SP_ASSERT(answer.has_value());
  co_return std::move(*answer);
}

Result<> Table::each(const Visit& /*visit*/) {
  return failure(name_ + ": this table type cannot be listed", std::errc::not_supported);
}

}  // namespace stagepost::maps
