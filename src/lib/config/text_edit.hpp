// What the editors of main.cf and master.cf share: physical lines with their role, and the safe replacement of a file.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/logical_lines.hpp"

namespace stagepost::config {

struct PhysicalLine {
  std::string_view text;  ///< with its newline, if it has one
  enum class Role { ignored, first, continuation } role = Role::ignored;
};
/// Ignored are blank lines, comments, and white space led text before the first logical line.
[[nodiscard]] std::vector<PhysicalLine> split_physical_lines(std::string_view content);

/// Reads `path`, edits it and replaces it atomically with the same mode and owner; nothing is written when nothing
/// changed. Holds a lock on the directory meanwhile, so that two editors do not lose each other's change.
[[nodiscard]] Result<> edit_file(const std::string& path, const FileLimits& limits,
                                 const std::function<Result<std::string>(std::string_view)>& edit);

}  // namespace stagepost::config
