// Logical lines of main.cf, master.cf and table sources: comments and blank lines dropped, continuation lines joined.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::config {

struct FileLimits {
  std::size_t file_bytes = std::size_t{16} << 20;
  std::size_t logical_line_bytes = std::size_t{64} << 10;
};

struct LogicalLine {
  /// Physical lines as written, without their newlines, joined without anything between them; the white space that
  /// starts a continuation line stays, trailing white space of the whole does not.
  std::string text;
  std::size_t first_line = 0;  ///< counted from 1
  std::size_t last_line = 0;
};

/// A line that starts with white space and has text continues the one before it; comments and blank lines in between do
/// not end it (postconf(5)). Such a line before any logical line is left out and reported in `warnings`, as Postfix
/// does. Error, with `file` and line: a logical line or the file above its limit, or a NUL byte.
[[nodiscard]] Result<std::vector<LogicalLine>> split_logical_lines(std::string_view content, std::string_view file,
                                                                   const FileLimits& limits = {},
                                                                   std::vector<std::string>* warnings = nullptr);

}  // namespace stagepost::config
