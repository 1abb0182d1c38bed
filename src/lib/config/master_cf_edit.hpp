// Edits of master.cf that keep its comments and everything they do not name.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "config/master_cf.hpp"

namespace stagepost::config {

struct ServiceEdit {
  enum class Kind { set, remove, comment_out };
  Kind kind = Kind::set;
  /// The service to change; "*" matches any name or type (not for set).
  std::string name;
  std::string type;
  /// Only for set: the whole new entry, all on one logical line.
  std::string entry = {};
};

/// A replaced entry keeps its place, a new one is appended; comments between its lines stay. Error: a file or a new
/// entry that does not parse.
[[nodiscard]] Result<std::string> edit_master_cf(std::string_view content, std::string_view file,
                                                 const ServiceEdit& edit, const FileLimits& limits = {});
/// edit_master_cf on a file: replaced atomically, same permissions and owner.
[[nodiscard]] Result<> edit_master_cf_file(const std::string& path, const ServiceEdit& edit,
                                           const FileLimits& limits = {});

enum class Fold : std::uint8_t { no, yes };
/// Command and arguments, behind `start` on the same line. Folded, each leading -o is on a line of its own and the
/// others are broken before column 80. No line break at the end.
[[nodiscard]] std::string format_command(std::string start, const ServiceEntry& entry, Fold fold);
/// An entry in the columns that postconf -M shows, without a line break at the end; folded as format_command.
[[nodiscard]] std::string format_entry(const ServiceEntry& entry, Fold fold);

}  // namespace stagepost::config
