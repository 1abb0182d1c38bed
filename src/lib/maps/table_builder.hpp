// Makes and updates indexed tables from their source text: the work of postmap, postalias and newaliases. The
// formats are TableWriters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "maps/open.hpp"
#include "maps/table_source.hpp"
#include "maps/table_writer.hpp"

namespace stagepost::maps {

struct BuildOptions {
  SourceFormat format = SourceFormat::postmap;
  TrailingNul nul = TrailingNul::either;
  /// What happens to a key that is there already: one warning and the old value stays, the same in silence (-w), or the
  /// new value counts (-r).
  enum class Duplicates : std::uint8_t { warn, ignore, replace } duplicates = Duplicates::warn;
  /// -o: stay root although the source file belongs to somebody else.
  bool keep_root = false;
  /// -p off: a new file gets the group and other read permission of the source file; on: mode 0644.
  bool default_mode = false;
  /// -F: a value is a list of files; their contents, in base64, are stored.
  bool values_are_files = false;
  /// $myhostname, stored with the time in alias tables for NIS (aliases format only).
  std::string host_name = {};
};

/// Replaces the table "type:name" by what the file `name` says. As root, works with the rights of the file's owner.
[[nodiscard]] Result<> build_table(std::string_view type, const std::string& name, const BuildOptions& options,
                                   const OpenContext& context);

/// Adds the entries of `source` to the table, made if need be; `source_name` is for warnings. Rights as build_table.
[[nodiscard]] Result<> update_table(std::string_view type, const std::string& name, std::string_view source_name,
                                    std::string_view source, const BuildOptions& options, const OpenContext& context);

/// Removes keys (folded as for a lookup). Returns how many were there. Error for a type that is read only. Types that
/// are not files (and update_table: those that take entries) need context.loop.
[[nodiscard]] Result<std::size_t> erase_from_table(std::string_view type, const std::string& name,
                                                   const std::vector<std::string>& keys, const BuildOptions& options,
                                                   const OpenContext& context);

/// -F on the way out. nullopt: not base64.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

}  // namespace stagepost::maps
