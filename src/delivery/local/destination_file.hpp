// Reads a ~/.forward or :include: file: with whose rights, whether it can be trusted, and the destinations in it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "delivery/identity.hpp"
#include "delivery/local/destination.hpp"

namespace stagepost::local {

struct DestinationFile {
  std::vector<Destination> destinations;
  delivery::Identity owner;
};

struct DestinationFileLimits {
  std::size_t line_octets = 2048;        ///< line_length_limit
  std::size_t file_octets = 32U << 20U;  ///< a larger file is an error (file_too_large), not a shorter list
};

/// Reads `path` with the rights of `reader`. Without one: with those of the file's owner (of root, for a file of
/// root's). Errors: no_such_file_or_directory and whatever opening gives; not_supported for what is no regular file and
/// operation_not_permitted for a file that everybody may write, with a context that says so. Blocks.
[[nodiscard]] Result<DestinationFile> read_destination_file(const std::string& path,
                                                            const std::optional<delivery::Identity>& reader,
                                                            const DestinationFileLimits& limits);

}  // namespace stagepost::local
