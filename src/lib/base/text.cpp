#include "base/text.hpp"

#include <algorithm>
#include <charconv>

namespace stagepost::text {

std::string to_lower(std::string_view s) {
  std::string result(s);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

bool iequals(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

bool istarts_with(std::string_view s, std::string_view prefix) {
  return s.size() >= prefix.size() && iequals(s.substr(0, prefix.size()), prefix);
}

bool iends_with(std::string_view s, std::string_view suffix) {
  return s.size() >= suffix.size() && iequals(s.substr(s.size() - suffix.size()), suffix);
}

std::string_view trim_end(std::string_view s) {
  while (!s.empty() && is_space(s.back())) { s.remove_suffix(1); }
  return s;
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && is_space(s.front())) { s.remove_prefix(1); }
  return trim_end(s);
}

std::vector<std::string_view> split(std::string_view s, std::string_view separators) {
  std::vector<std::string_view> pieces;
  for (std::size_t start = s.find_first_not_of(separators); start != std::string_view::npos;) {
    const std::size_t end = std::min(s.find_first_of(separators, start), s.size());
    pieces.push_back(s.substr(start, end - start));
    start = s.find_first_not_of(separators, end);
  }
  return pieces;
}

std::vector<std::string_view> split_exact(std::string_view s, char separator) {
  std::vector<std::string_view> pieces;
  for (;;) {
    const std::size_t end = s.find(separator);
    pieces.push_back(s.substr(0, end));
    if (end == std::string_view::npos) { return pieces; }
    s.remove_prefix(end + 1);
  }
}

std::string join(const std::vector<std::string>& pieces, std::string_view separator) {
  std::string result;
  for (const auto& piece : pieces) {
    if (!result.empty()) { result += separator; }
    result += piece;
  }
  return result;
}

std::optional<std::uint64_t> parse_unsigned(std::string_view s) {
  if (s.empty() || !is_digit(s.front())) { return std::nullopt; }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc{} || end != s.data() + s.size()) { return std::nullopt; }
  return value;
}

std::optional<std::int64_t> parse_signed(std::string_view s) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (s.empty() || error != std::errc{} || end != s.data() + s.size()) { return std::nullopt; }
  return value;
}

bool is_ascii(std::string_view s) {
  return std::ranges::all_of(s, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_utf8(std::string_view s) {
  std::size_t i = 0;
  while (i < s.size()) {
    const auto lead = static_cast<unsigned char>(s[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || s.size() - i < length) { return false; }
    const auto second = static_cast<unsigned char>(s[i + 1]);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
        (lead == 0xF4 && second > 0x8F)) {
      return false;
    }
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(s[i + k]) & 0xC0) != 0x80) { return false; }
    }
    i += length;
  }
  return true;
}

}  // namespace stagepost::text
