// Makes text safe inside LDAP filters and distinguished names.
#pragma once

#include <string>
#include <string_view>

namespace stagepost::maps {

/// For an assertion value of a filter, RFC 4515 §3: NUL ( ) * and \ become \XX.
[[nodiscard]] std::string quote_for_filter(std::string_view text);
/// For an attribute value of a DN, RFC 4514 §2.4: " + , ; < > \ and = get a backslash, as do '#' and space where they
/// would be special; NUL becomes \00.
[[nodiscard]] std::string quote_for_dn(std::string_view text);

}  // namespace stagepost::maps
