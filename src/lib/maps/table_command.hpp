// The command line that postmap(1) and postalias(1) share: query, list, delete, update and build tables.
#pragma once

#include <string_view>

#include "maps/table_source.hpp"

namespace stagepost::maps {

struct CommandVariant {
  std::string_view name;     ///< "postmap"
  SourceFormat format;       ///< of source files and standard input
  std::string_view options;  ///< for getopt(3)
  std::string_view usage;
  std::string_view separator;  ///< between key and value in output
};

/// Runs the command and returns its exit status: 0 for success (for -q and -d: something was found), 1 otherwise.
/// Errors and warnings go to standard error and the mail log.
[[nodiscard]] int run_table_command(int argc, char** argv, const CommandVariant& variant);

}  // namespace stagepost::maps
