// maillog_file: opening it, and what may be written into it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::postlogd {

/// Opens the file for appending (made with mode 0600). "/dev/stdout" is this process's standard output, also when that
/// is a pipe or a socket. Error: not below any of `prefixes` (maillog_file_prefixes), or the system's.
[[nodiscard]] Result<unique_fd> open_log_file(const std::string& path, const std::vector<std::string>& prefixes);

/// Appends the datagram as one line with its LF: line breaks and other control characters inside become '?'.
void append_line(std::string& lines, std::string_view datagram);
/// The same for a datagram that may hold several lines (log::kBatchMark).
void append_lines(std::string& lines, std::string_view datagram);

}  // namespace stagepost::postlogd
