// import_environment and export_environment: which variables of the environment a program keeps, and which it sets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::config {

struct EnvironmentItem {
  std::string name;
  std::optional<std::string> value = {};  ///< empty: the variable keeps its value, if it has one
};

/// One piece of such a list (split_list): "NAME", "NAME=value" or "{ NAME = value with spaces }". nullopt: "{}" with
/// nothing inside. Error: braces that do not match, or no name in front of "=".
[[nodiscard]] Result<std::optional<EnvironmentItem>> parse_environment_item(std::string_view piece);

/// The first error of a whole list.
[[nodiscard]] Result<> check_environment_list(std::string_view list);

}  // namespace stagepost::config
