// Whether a file can be given to dlopen(3): the loader maps what the headers of an ELF file promise and does not look
// how long the file is, so that one that was cut off (a full disk, a copy that is still being made) ends the process.
#pragma once

#include <string>

#include "base/result.hpp"

namespace stagepost::maps {

/// Error: `path` cannot be read, is no shared object of this machine's kind, or ends before something that its headers
/// name: segments, program headers, section headers.
[[nodiscard]] Result<> check_shared_object(const std::string& path);

}  // namespace stagepost::maps
