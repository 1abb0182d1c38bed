// The two source formats that become indexed tables: postmap(1) "key whitespace value" and aliases(5) "name: value".
// Pure: a logical line in, an entry or the text of a warning out.
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

struct SourceEntry {
  std::string key;
  std::string value;
  std::size_t line_number = 0;
};

enum class SourceFormat : std::uint8_t {
  postmap,  ///< key whitespace value
  aliases,  ///< name: value, value ...; the key is unquoted, the value normalised
};

/// What a line of the source turned out to be, when it is not an entry.
struct SourceProblem {
  std::string text;  ///< "expected format: key whitespace value"
  /// The message already says that the line is ignored (or it is not: the line was used all the same).
  bool needs_suffix = false;
};

/// "key whitespace value": white space inside double quotes belongs to the key, which keeps its quotes.
[[nodiscard]] std::expected<SourceEntry, SourceProblem> parse_table_line(std::string_view line);

/// "name: value": the name loses its quotes, the value is tokenised as an address list (RFC 5322 tokens) and written
/// back with standard spacing, as Postfix stores it.
[[nodiscard]] std::expected<SourceEntry, SourceProblem> parse_alias_line(std::string_view line);

/// All entries of a source text in order. `name` is the file name used in warnings ("name, line 3: ..."). With
/// Utf8::check, lines that are not UTF-8 are warned about and dropped. `ignoring_suffix` adds " -- ignoring this line"
/// to a format warning, as texthash does and postmap does not. Stops with the first Error of `take`.
enum class IgnoringSuffix : std::uint8_t { no, yes };
[[nodiscard]] Result<> parse_source(std::string_view name, std::string_view source, SourceFormat format,
                                    IgnoringSuffix ignoring_suffix, const OpenContext& context,
                                    const std::function<Result<>(SourceEntry entry)>& take);

}  // namespace stagepost::maps
