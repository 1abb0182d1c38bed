// Finds table types in loadable modules: those this package may have put into shlib_directory, and those that
// $meta_directory/dynamicmaps.cf and dynamicmaps.cf.d/ name. A module is loaded at the first use of one of its types.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "config/snapshot.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// Path of the module of each type.
using ModulePaths = std::map<std::string, std::string, std::less<>>;

/// The lines of a dynamicmaps.cf: "type  so-name  open-function  [create-function]". The function names are those of
/// Postfix's modules and only counted; a relative so-name is below `shlib_directory`. Bad lines are warned about and
/// skipped.
[[nodiscard]] ModulePaths parse_dynamicmaps(std::string_view file, std::string_view text,
                                            const std::string& shlib_directory, const OpenContext& context);

/// The built-in types, those whose modules exist, and hash and btree in any case: without a module they are LMDB files.
/// A built-in type is never replaced by a module.
[[nodiscard]] std::shared_ptr<const Registry> types_with_modules(const config::Snapshot& config,
                                                                 const OpenContext& context);

/// Loads the modules of the types that main.cf (or an override) mentions, so that a process which is about to change
/// its root directory can still use them. A module that cannot be loaded is reported at its first use.
void preload_modules(const config::Snapshot& config, const OpenContext& context);

}  // namespace stagepost::maps
