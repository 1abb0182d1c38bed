// Settings of lookup tables that are configured by name: `ldap:/etc/postfix/x.cf` has its parameters in that file,
// `ldap:people` has them in main.cf as people_server_host and so on. Which parameters a type has, and which tables a
// parameter value names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::config {

/// Parameters of a table type, sorted; empty for types that have none (ldap_table(5), mysql_table(5) ...).
[[nodiscard]] std::span<const std::string_view> table_parameters(std::string_view type);

struct NamedTable {
  std::string_view type;  ///< one that has parameters; points into constant data
  std::string name;
  /// Its parameters are in the file `name`, otherwise in main.cf as `name` + "_" + parameter.
  [[nodiscard]] bool in_file() const { return name.starts_with('/') || name.starts_with('.'); }
  [[nodiscard]] auto operator<=>(const NamedTable&) const = default;
};

/// All "type:name" in an expanded value, found in the same way as named_tables; also what only looks like a table, such
/// as a transport ("smtp:host").
struct TableName {
  std::string type;
  std::string name;
};
[[nodiscard]] std::vector<TableName> table_names(std::string_view value);

/// The tables with parameters in an expanded value, also behind "proxy:" and inside the braces of unionmap, pipemap
/// and restrictions; nested at most ten deep.
[[nodiscard]] std::vector<NamedTable> named_tables(std::string_view value);

/// Warnings about one table's file: it cannot be opened, it sets a parameter the type does not have. Error, with file
/// and line: a line that is no assignment.
[[nodiscard]] Result<std::vector<std::string>> check_table_file(const NamedTable& table);

}  // namespace stagepost::config
