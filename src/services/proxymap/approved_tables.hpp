// Which tables clients may have opened: those that proxy_read_maps or proxy_write_maps name with "proxy:" in front.
// Pure.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace stagepost::proxymap {

class ApprovedTables {
 public:
  /// `list`: the parameter's value, expanded. Tables also count inside braces: members of unionmap and pipemap, and
  /// restrictions with arguments. Everything else is ignored.
  explicit ApprovedTables(std::string_view list);

  /// `table`: "type:name" without "proxy:". Names are compared byte by byte, as they are written.
  [[nodiscard]] bool contains(std::string_view table) const { return tables_.contains(table); }
  [[nodiscard]] std::size_t size() const { return tables_.size(); }

 private:
  std::set<std::string, std::less<>> tables_;
};

}  // namespace stagepost::proxymap
