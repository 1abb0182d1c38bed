// ASCII text utilities. Never locale-dependent; bytes >= 0x80 are never letters, digits or spaces here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stagepost::text {

[[nodiscard]] constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
[[nodiscard]] constexpr bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
[[nodiscard]] constexpr bool is_alpha(char c) { return is_upper(c) || is_lower(c); }
[[nodiscard]] constexpr bool is_alnum(char c) { return is_alpha(c) || is_digit(c); }
/// Space, tab, CR, LF, VT, FF.
[[nodiscard]] constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
[[nodiscard]] constexpr bool is_printable(char c) { return c >= 0x20 && c < 0x7f; }
[[nodiscard]] constexpr char lower(char c) { return is_upper(c) ? static_cast<char>(c + 32) : c; }
[[nodiscard]] constexpr char upper(char c) { return is_lower(c) ? static_cast<char>(c - 32) : c; }

[[nodiscard]] std::string to_lower(std::string_view s);
[[nodiscard]] bool iequals(std::string_view a, std::string_view b);
[[nodiscard]] bool istarts_with(std::string_view s, std::string_view prefix);
[[nodiscard]] bool iends_with(std::string_view s, std::string_view suffix);
[[nodiscard]] std::string_view trim(std::string_view s);
[[nodiscard]] std::string_view trim_end(std::string_view s);

/// Pieces between any of `separators`, empty pieces dropped. The views point into `s`.
[[nodiscard]] std::vector<std::string_view> split(std::string_view s, std::string_view separators);
/// Pieces between each `separator`, empty pieces kept.
[[nodiscard]] std::vector<std::string_view> split_exact(std::string_view s, char separator);
[[nodiscard]] std::string join(const std::vector<std::string>& pieces, std::string_view separator);

/// Decimal without sign, space or overflow; the whole of `s`.
[[nodiscard]] std::optional<std::uint64_t> parse_unsigned(std::string_view s);
/// As parse_unsigned, with an optional leading '-'.
[[nodiscard]] std::optional<std::int64_t> parse_signed(std::string_view s);

/// True for well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF).
[[nodiscard]] bool is_utf8(std::string_view s);
[[nodiscard]] bool is_ascii(std::string_view s);

}  // namespace stagepost::text
