// What postcat prints for one queue file. Reads records, writes text; knows no options parsing and no queue directory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "queue/record_file.hpp"

namespace stagepost::postcat {

struct DumpOptions {
  bool envelope = true;       ///< -e
  bool header = true;         ///< -h
  bool body = true;           ///< -b
  bool decimal_type = false;  ///< -d
  bool offsets = false;       ///< -o
  bool raw = false;           ///< -r: with -v, file order; pointers are shown, not followed.
  bool verbose = false;       ///< -v: pointers and padding too, and the names of text records.
  std::int64_t start = 0;     ///< -s
};

struct Sinks {
  std::function<void(std::string_view)> out;
  std::function<void(std::string_view)> warning;  ///< Gets the text behind "warning: ".
};

/// True for the start of a header field: a name of printable characters, blanks, a colon.
[[nodiscard]] bool is_header(std::string_view line);

/// Prints the file. A damaged record ends it with the error of RecordFile; everything before was printed. Text that is
/// not a queue file gives a warning and no error.
[[nodiscard]] Result<> dump(queue::RecordFile& file, const DumpOptions& options, const Sinks& sinks);

}  // namespace stagepost::postcat
