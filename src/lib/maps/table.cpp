// Defaults of the Table interface: what a table that always answers at once needs not write itself.
#include "maps/table.hpp"

#include <utility>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/safe_text.hpp"

namespace stagepost::maps {
namespace {

/// proxymap knows the table without "proxy:".
bool is_named_in(const Error& reason, std::string_view name) {
  while (name.starts_with("proxy:")) { name.remove_prefix(std::string_view("proxy:").size()); }
  return reason.context.contains(name);
}

}  // namespace

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

Error lookup_error(const Table& table, std::string_view key, Error reason) {
  if (is_named_in(reason, table.name())) { return reason; }
  return std::move(reason).within(fmt::format("{} lookup error for \"{}\"", printable(table.name()), printable(key)));
}

Error query_error(const Table& table, Error reason) {
  if (is_named_in(reason, table.name())) { return reason; }
  return std::move(reason).within(fmt::format("table {}: query error", printable(table.name())));
}

}  // namespace stagepost::maps
