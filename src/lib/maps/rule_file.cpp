// See rule_file.hpp.
#include "maps/rule_file.hpp"

#include "maps/braces.hpp"

namespace stagepost::maps {

Result<std::string> inline_rules(std::string_view type, std::string_view name) {
  const auto inside = inside_braces(name);
  if (!inside) { return failure(fmt::format("{} map: {}", type, inside.error().context)); }
  const auto items = split_outside_braces(*inside);
  if (!items) { return failure(fmt::format("{} map: missing '}}' in \"{}\"", type, printable(name))); }
  std::string text;
  for (const std::string_view item : *items) {
    const auto rule = inside_braces(item);
    if (!rule) { return failure(fmt::format("{} map: {}", type, rule.error().context)); }
    text += text::trim(*rule);
    text.push_back('\n');
  }
  return text;
}

}  // namespace stagepost::maps
