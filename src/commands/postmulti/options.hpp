// Command line of postmulti(1). Pure, except that getopt(3) reports unknown options itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::postmulti {

enum class Mode { list, postfix, command, edit };
enum class Edit { create, destroy, import, deport, enable, disable, assign, init };

/// Which instances of the list are meant. At most one of the three.
struct Selection {
  bool all = false;                  ///< -a
  std::optional<std::string> group;  ///< -g
  std::optional<std::string> name;   ///< -i: a name, a configuration directory, or "-" for the primary instance
};

struct Options {
  Mode mode = Mode::list;
  Edit edit = Edit::init;
  Selection selection;
  bool reverse = false;                  ///< -R
  std::optional<std::string> new_name;   ///< -I; empty: without name
  std::optional<std::string> new_group;  ///< -G; empty: in no group
  unsigned verbosity = 0;
  std::vector<std::string> command;  ///< after -p or -x
  // name=value arguments of create and import; empty: not given.
  std::string config_directory;
  std::string queue_directory;
  std::string data_directory;
};

/// The error's context is the text for the user.
[[nodiscard]] Result<Options> parse_options(int argc, char** argv);
[[nodiscard]] std::string_view to_string(Edit edit);

}  // namespace stagepost::postmulti
