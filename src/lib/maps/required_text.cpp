// See required_text.hpp. Whatever is not plainly a character that must be there ends a piece.
#include "maps/required_text.hpp"

#include "base/text.hpp"

namespace stagepost::maps {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

/// Behind the bracket expression that starts at `at`.
std::size_t after_bracket(std::string_view pattern, std::size_t at) {
  ++at;
  if (at < pattern.size() && pattern[at] == '^') { ++at; }
  if (at < pattern.size() && pattern[at] == ']') { ++at; }
  while (at < pattern.size()) {
    if (pattern[at] == ']') { return at + 1; }
    if (pattern[at] == '[' && at + 1 < pattern.size() && std::string_view(".=:").contains(pattern[at + 1])) {
      const char end[] = {pattern[at + 1], ']'};
      at = pattern.find(std::string_view(end, 2), at + 2);
      if (at == kNone) { return kNone; }
      at += 2;
    } else {
      ++at;
    }
  }
  return kNone;
}

/// Behind the group that starts at `at`.
std::size_t after_group(std::string_view pattern, std::size_t at) {
  std::size_t depth = 0;
  while (at < pattern.size()) {
    switch (pattern[at]) {
      case '\\':
        at += 2;
        continue;
      case '[':
        at = after_bracket(pattern, at);
        if (at == kNone) { return kNone; }
        continue;
      case '(':
        ++depth;
        break;
      case ')':
        if (--depth == 0) { return at + 1; }
        break;
      default:
        break;
    }
    ++at;
  }
  return kNone;
}

}  // namespace

std::vector<std::string> required_text(std::string_view pattern) {
  std::vector<std::string> pieces;
  std::string piece;
  const auto end_piece = [&] {
    // A single character says little.
    if (piece.size() > 1) { pieces.push_back(piece); }
    piece.clear();
  };
  for (std::size_t at = 0; at < pattern.size();) {
    const char c = pattern[at];
    if (c == '|' || c == ')') { return {}; }
    if (c == '(' || c == '[') {
      end_piece();
      at = c == '(' ? after_group(pattern, at) : after_bracket(pattern, at);
      if (at == kNone) { return {}; }
    } else if (c == '.' || c == '^' || c == '$') {
      end_piece();
      ++at;
    } else if (std::string_view("*?+{").contains(c)) {
      // The character before may be missing, or be there more than once.
      if (!piece.empty()) { piece.pop_back(); }
      end_piece();
      if (c == '{') {
        at = pattern.find('}', at);
        if (at == kNone) { return {}; }
      }
      ++at;
    } else if (c == '\\') {
      if (at + 1 == pattern.size()) { return {}; }
      const char next = pattern[at + 1];
      if (text::is_alnum(next) || std::string_view("<>`'").contains(next)) {
        end_piece();
      } else {
        piece.push_back(next);
      }
      at += 2;
    } else {
      piece.push_back(c);
      ++at;
    }
  }
  end_piece();
  return pieces;
}

}  // namespace stagepost::maps
