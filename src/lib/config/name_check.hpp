// Which parameter names a configuration defines, uses and misses. Needs main.cf and master.cf together, so it is for
// postconf, `postfix check` and master, not for each daemon.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/master_cf.hpp"
#include "config/registry.hpp"
#include "config/snapshot.hpp"

namespace stagepost::config {

struct NameUse {
  /// Per-transport names that the services of master.cf create; a few are built in as well.
  std::map<std::string, const ServiceParameter*, std::less<>> service_names;
  /// User-defined names that are set and used: `$name` somewhere, a restriction class, the settings of a database
  /// table.
  std::set<std::string, std::less<>> user_names;
  struct Unused {
    std::string file;
    std::string name;
    std::string value;
    std::string suggestion;  ///< a built-in name spelled almost the same; may be empty
  };
  std::vector<Unused> unused;
  struct Undefined {
    std::string file;
    std::string name;
  };
  std::vector<Undefined> undefined;  ///< `$name` of nothing that is set or built in
};

[[nodiscard]] NameUse check_names(const Snapshot& config, const MasterCf& master);

/// The names behind each `$` of a text, whether or not it is well formed.
[[nodiscard]] std::vector<std::string_view> referenced_names(std::string_view text);

}  // namespace stagepost::config
