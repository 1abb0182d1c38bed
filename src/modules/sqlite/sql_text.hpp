// Turns the query template of sqlite_table(5) into a statement whose parts of the key are bound values: what stands in
// quotes around a %s and the like becomes a parameter. No key can change the statement then, whatever is in it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "query.hpp"

namespace stagepost::maps::sqlite {

struct Statement {
  std::string sql;                   ///< with ?1, ?2 ...
  std::vector<Template> parameters;  ///< of ?1, ?2 ...
  /// A part of the key stands in double quotes, which are for names; it is bound all the same.
  bool has_double_quotes = false;
};

/// 'text with %s' becomes one parameter, '' in it a quote; a %s outside of quotes too. "text with %s" as well, since
/// SQLite takes "text" for a string where no such name is. Quoted text without a % stays what it is, %% is a %,
/// comments go. `source` is for messages. Errors: a bad %, a quote or comment without an end, more than 100 parameters.
[[nodiscard]] Result<Statement> bind_template(std::string_view query, std::string_view source);

}  // namespace stagepost::maps::sqlite
