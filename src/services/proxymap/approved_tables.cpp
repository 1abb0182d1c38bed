// See approved_tables.hpp.
#include "services/proxymap/approved_tables.hpp"

#include <vector>

#include "base/text.hpp"
#include "maps/braces.hpp"

namespace stagepost::proxymap {
namespace {

constexpr std::string_view kProxy = "proxy:";
/// Braces in braces; the configuration itself allows fewer.
constexpr std::size_t kDepthLimit = 20;

struct Part {
  std::string_view text;
  std::size_t depth = 0;
};

}  // namespace

ApprovedTables::ApprovedTables(std::string_view list) {
  std::vector<Part> parts{{.text = list}};
  while (!parts.empty()) {
    const Part part = parts.back();
    parts.pop_back();
    const auto items = maps::split_outside_braces(part.text);
    if (!items) { continue; }
    for (const std::string_view item : *items) {
      std::string_view name = item;
      while (name.starts_with(kProxy)) { name.remove_prefix(kProxy.size()); }
      if (name.size() != item.size() && name.contains(':')) { tables_.emplace(name); }
      const std::size_t open = item.find('{');
      if (open == std::string_view::npos || part.depth == kDepthLimit) { continue; }
      if (const auto inside = maps::inside_braces(item.substr(open))) {
        parts.push_back({.text = *inside, .depth = part.depth + 1});
      }
    }
  }
}

}  // namespace stagepost::proxymap
