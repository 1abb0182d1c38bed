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
#include "config/table_parameters.hpp"

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
    bool in_master_cf = false;
  };
  std::vector<Unused> unused;
  struct Undefined {
    std::string file;
    std::string name;
  };
  std::vector<Undefined> undefined;  ///< `$name` of nothing that is set or built in
  /// Tables whose parameters are in a file of their own, sorted, each once (check_table_file).
  std::vector<NamedTable> table_files;
};

/// No I/O. Linear in the size of both files.
[[nodiscard]] NameUse check_names(const Snapshot& config, const MasterCf& master);

/// The built-in name that is spelled almost like `name`; empty when there is none. Costs a comparison with each of
/// them.
[[nodiscard]] std::string nearest_parameter(std::string_view name);

/// The names behind each `$` of a text, whether or not it is well formed.
[[nodiscard]] std::vector<std::string_view> referenced_names(std::string_view text);

}  // namespace stagepost::config
