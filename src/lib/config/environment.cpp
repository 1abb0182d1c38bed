#include "config/environment.hpp"

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "config/snapshot.hpp"

namespace stagepost::config {

Result<std::optional<EnvironmentItem>> parse_environment_item(std::string_view piece) {
  std::string_view item = piece;
  if (item.starts_with('{')) {
    std::size_t nesting = 0;
    std::size_t end = 0;
    for (; end < item.size(); ++end) {
      if (item[end] == '{') { ++nesting; }
      if (item[end] == '}' && --nesting == 0) { break; }
    }
    if (end == item.size()) { return failure(fmt::format("missing '}}' in \"{}\"", printable(piece))); }
    if (end + 1 != item.size()) { return failure(fmt::format("syntax error after '}}' in \"{}\"", printable(piece))); }
    item = text::trim(item.substr(1, end - 1));
  }
  if (item.empty()) { return std::nullopt; }
  const std::size_t equals = item.find('=');
  EnvironmentItem result{.name = std::string(text::trim(item.substr(0, equals)))};
  if (result.name.empty()) { return failure(fmt::format("missing attribute name in: {}", printable(item))); }
  if (equals != std::string_view::npos) { result.value = text::trim(item.substr(equals + 1)); }
  return result;
}

Result<> check_environment_list(std::string_view list) {
  for (const std::string& piece : split_list(list)) { SP_TRY(parse_environment_item(piece)); }
  return {};
}

}  // namespace stagepost::config
