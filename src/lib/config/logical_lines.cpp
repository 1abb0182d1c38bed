#include "config/logical_lines.hpp"

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::config {

Result<std::vector<LogicalLine>> split_logical_lines(std::string_view content, std::string_view file,
                                                     const FileLimits& limits, std::vector<std::string>* warnings) {
  if (content.size() > limits.file_bytes) {
    return failure(fmt::format("{}: larger than {} bytes", file, limits.file_bytes), std::errc::file_too_large);
  }
  std::vector<LogicalLine> lines;
  std::size_t number = 0;
  while (!content.empty()) {
    ++number;
    const std::size_t newline = content.find('\n');
    const std::string_view line = content.substr(0, newline);
    content.remove_prefix(newline == std::string_view::npos ? content.size() : newline + 1);
    const std::string_view trimmed = text::trim(line);
    if (trimmed.empty() || trimmed.front() == '#') { continue; }
    if (line.find('\0') != std::string_view::npos) {
      return failure(fmt::format("{}, line {}: NUL byte", file, number));
    }
    if (text::is_space(line.front())) {
      if (lines.empty()) {
        if (warnings != nullptr) {
          warnings->push_back(fmt::format("{}, line {}: logical line must not start with whitespace: \"{}\"", file,
                                          number, printable(line)));
        }
        continue;
      }
      lines.back().text += line;
      lines.back().last_line = number;
    } else {
      lines.push_back({std::string(line), number, number});
    }
    if (lines.back().text.size() > limits.logical_line_bytes) {
      return failure(fmt::format("{}, line {}: logical line longer than {} bytes", file, lines.back().first_line,
                                 limits.logical_line_bytes));
    }
  }
  for (LogicalLine& line : lines) { line.text.resize(text::trim_end(line.text).size()); }
  return lines;
}

}  // namespace stagepost::config
