// Pure address rewriting to standard form and the routing steps of resolution, as trivial-rewrite(8) applies them: no
// tables, no configuration look-ups. Input and output are external form, because quoting decides whether '!' and '%'
// are routing operators.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace stagepost::mail {

struct RewriteOptions {
  bool swap_bangpath = true;
  bool allow_percent_hack = true;
  bool append_at_myorigin = true;
  bool append_dot_mydomain = false;
  /// Domain appended to "user": $myorigin, or remote_header_rewrite_domain in the remote context.
  std::string_view myorigin = {};
  /// Domain appended to "user@host"; in the remote context the same as `myorigin`.
  std::string_view mydomain = {};
};

/// All steps below in Postfix's order, on one address in external form; the result is external form. The null address
/// and text with NUL, CR or LF come back as they are; "@" becomes the quoted null address "\"\"".
[[nodiscard]] std::string rewrite_address(std::string_view external, const RewriteOptions& options);

/// "@hosta,@hostb:user@site" → "user@site".
[[nodiscard]] std::string strip_source_route(std::string_view external);
/// "site!user" → "user@site" when there is no unquoted '@' (parameter swap_bangpath).
[[nodiscard]] std::string swap_bangpath(std::string_view external);
/// "user%domain" → "user@domain" when there is no unquoted '@' (parameter allow_percent_hack).
[[nodiscard]] std::string apply_percent_hack(std::string_view external);
/// "user@domain." → "user@domain".
[[nodiscard]] std::string strip_trailing_dot(std::string_view external);

struct ResolveOptions {
  bool swap_bangpath = true;
  bool allow_percent_hack = true;
  /// Look for routing operators inside quotes too (parameter resolve_dequoted_address).
  bool resolve_dequoted_address = true;
  bool resolve_null_domain = false;
  bool resolve_numeric_domain = false;
  /// Domain of an address that has none.
  std::string_view myhostname = {};
  std::string_view empty_address_recipient = "MAILER-DAEMON";
  /// True for domains this machine is the final destination of (mydestination, inet_interfaces, proxy_interfaces).
  std::function<bool(std::string_view domain)> is_local_domain;
};

/// What resolution says about an address before transport tables are consulted.
struct ResolvedRoute {
  enum class Problem { none, bad_address };
  /// Recipient in internal form, local routing removed.
  std::string recipient = {};
  /// Its domain, lower case, or empty.
  std::string domain = {};
  /// The local-part that is left has '@', '!' or '%': the next host may relay by it (RESOLVE_FLAG_ROUTED; parameter
  /// allow_untrusted_routing).
  bool routed = false;
  Problem problem = Problem::none;
};

/// Strips local domains and applies '!' and '%' routing until the domain is not local or no routing is left. The number
/// of steps is bounded by the number of operators in the address.
[[nodiscard]] ResolvedRoute resolve_route(std::string_view internal, const ResolveOptions& options);

}  // namespace stagepost::mail
