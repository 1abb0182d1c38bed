// See ldap_quote.hpp.
#include "ldap_quote.hpp"

namespace stagepost::maps {

std::string quote_for_filter(std::string_view text) {
  std::string quoted;
  for (const char c : text) {
    switch (c) {
      case '\0':
        quoted += "\\00";
        break;
      case '(':
        quoted += "\\28";
        break;
      case ')':
        quoted += "\\29";
        break;
      case '*':
        quoted += "\\2a";
        break;
      case '\\':
        quoted += "\\5c";
        break;
      default:
        quoted += c;
    }
  }
  return quoted;
}

std::string quote_for_dn(std::string_view text) {
  std::string quoted;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool first = i == 0;
    const bool last = i + 1 == text.size();
    if (c == '\0') {
      quoted += "\\00";
      continue;
    }
    const bool special =
        std::string_view("\"+,;<>\\=").contains(c) || (first && c == '#') || ((first || last) && c == ' ');
    if (special) { quoted += '\\'; }
    quoted += c;
  }
  return quoted;
}

}  // namespace stagepost::maps
