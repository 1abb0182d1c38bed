// Reads a table source file as logical lines, postmap(1): empty lines and comments go, a line that starts with white
// space continues the one before it (also across comments). Pure; used by all text tables.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stagepost::maps {

struct LogicalLine {
  std::string text;  ///< first character is not white space; lines are joined as they are, without the newlines
  std::size_t line_number = 0;  ///< where it starts, from 1
};

class LogicalLines {
 public:
  /// `source` must outlive the object.
  explicit LogicalLines(std::string_view source) : rest_(source) {}

  /// The next logical line; nullopt at the end. A first line that starts with white space continues nothing: it is kept
  /// apart (orphan) and not returned.
  [[nodiscard]] std::optional<LogicalLine> next();
  /// The white-space line the last next() dropped, if any; the caller warns about it.
  [[nodiscard]] const std::optional<std::string>& orphan() const { return orphan_; }

 private:
  [[nodiscard]] std::string_view take_physical_line();

  std::string_view rest_;
  std::size_t line_number_ = 0;
  std::optional<std::string> orphan_;
};

}  // namespace stagepost::maps
