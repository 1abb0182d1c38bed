// main.cf as text: parser and editor. Knows nothing about which parameters exist (registry.hpp) or what `$name` means
// (expansion.hpp).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/logical_lines.hpp"

namespace stagepost::config {

struct Setting {
  std::string name;
  std::string value;  ///< unexpanded, continuation lines joined, trimmed at both ends
  std::size_t line = 0;
};

struct MainCf {
  std::string file;
  /// In file order, duplicates included: the last one of a name counts.
  std::vector<Setting> settings;
  std::vector<std::string> warnings = {};  ///< text that was left out
};

/// Error with "file, line N: ..." for a line without "=", an empty name or a broken limit.
[[nodiscard]] Result<MainCf> parse_main_cf(std::string_view content, std::string_view file,
                                           const FileLimits& limits = {});
[[nodiscard]] Result<MainCf> read_main_cf(const std::string& path, const FileLimits& limits = {});

/// `name = value` or `name=value`, as in `-o`; both parts trimmed. Error when there is no "=" or no name.
[[nodiscard]] Result<Setting> parse_assignment(std::string_view text);

struct Edit {
  enum class Kind { set, remove, comment_out };
  Kind kind = Kind::set;
  std::string name;
  std::string value = {};  ///< only for set; one line
};

/// The edited text. A set parameter keeps its place (all instances are replaced by one, at the first) and is appended
/// when it was absent; removed and commented-out ones take their continuation lines with them. Comments and the order
/// of everything else stay byte for byte.
[[nodiscard]] Result<std::string> edit_main_cf(std::string_view content, std::string_view file,
                                               std::span<const Edit> edits, const FileLimits& limits = {});
/// edit_main_cf on a file: replaced atomically, same permissions and owner.
[[nodiscard]] Result<> edit_main_cf_file(const std::string& path, std::span<const Edit> edits,
                                         const FileLimits& limits = {});

}  // namespace stagepost::config
