// See braces.hpp.
#include "maps/braces.hpp"

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps {

Result<std::vector<std::string_view>> split_outside_braces(std::string_view text) {
  std::vector<std::string_view> items;
  std::size_t position = 0;
  while (position < text.size()) {
    if (text::is_space(text[position]) || text[position] == ',') {
      ++position;
      continue;
    }
    const std::size_t start = position;
    std::size_t depth = 0;
    for (; position < text.size(); ++position) {
      const char c = text[position];
      if (c == '{') {
        ++depth;
      } else if (c == '}' && depth > 0) {
        --depth;
      } else if (depth == 0 && (text::is_space(c) || c == ',')) {
        break;
      }
    }
    if (depth > 0) { return failure(fmt::format("missing '}}' in \"{}\"", printable(text))); }
    items.push_back(text.substr(start, position - start));
  }
  return items;
}

Result<std::string_view> inside_braces(std::string_view text) {
  if (!text.starts_with('{')) { return failure(fmt::format("no '{{' at start of text in \"{}\"", printable(text))); }
  std::size_t depth = 0;
  for (std::size_t position = 0; position < text.size(); ++position) {
    if (text[position] == '{') {
      ++depth;
    } else if (text[position] == '}' && --depth == 0) {
      if (position + 1 == text.size()) { return text.substr(1, position - 1); }
      return failure(fmt::format("syntax error after '}}' in \"{}\"", printable(text)));
    }
  }
  return failure(fmt::format("missing '}}' in \"{}\"", printable(text)));
}

}  // namespace stagepost::maps
