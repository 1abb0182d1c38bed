// Variable envelope return paths: the recipient is written into the sender address of its copy, so that the sender
// learns from a bounce's address alone whom it concerns (parameters default_verp_delimiters, verp_delimiter_filter).
#pragma once

#include <string>
#include <string_view>

namespace stagepost::mail {

/// Exactly two characters, both of `filter` (verp_delimiter_filter).
[[nodiscard]] bool is_verp_delimiters(std::string_view delimiters, std::string_view filter);

/// "owner-list@origin" for "user@domain" with "+=": "owner-list+user=domain@origin". All in internal form; what has no
/// domain gets none. `delimiters` has two characters (asserted).
[[nodiscard]] std::string verp_sender(std::string_view sender, std::string_view delimiters, std::string_view recipient);

}  // namespace stagepost::mail
