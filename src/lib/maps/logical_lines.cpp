// See logical_lines.hpp.
#include "maps/logical_lines.hpp"

#include "base/text.hpp"

namespace stagepost::maps {
namespace {

/// Empty, or its first non-space character is '#'.
bool is_ignored(std::string_view line) {
  for (const char c : line) {
    if (!text::is_space(c)) { return c == '#'; }
  }
  return true;
}

}  // namespace

std::string_view LogicalLines::take_physical_line() {
  const std::size_t end = rest_.find('\n');
  const std::string_view line = rest_.substr(0, end);
  rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
  ++line_number_;
  return line;
}

std::optional<LogicalLine> LogicalLines::next() {
  orphan_.reset();
  std::optional<LogicalLine> logical;
  while (!rest_.empty()) {
    const std::string_view before = rest_;
    const std::string_view line = take_physical_line();
    if (is_ignored(line)) { continue; }
    if (text::is_space(line.front())) {
      if (logical) {
        logical->text.append(line);
      } else if (!orphan_) {
        orphan_ = std::string(line);
      }
      continue;
    }
    if (logical) {
      rest_ = before;
      --line_number_;
      break;
    }
    logical = LogicalLine{.text = std::string(line), .line_number = line_number_};
  }
  return logical;
}

}  // namespace stagepost::maps
