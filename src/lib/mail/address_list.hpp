// Address lists in header fields (RFC 5322 §3.4): mailboxes, groups, comments, quoted strings, obsolete routes. Two
// uses: rewriting each address in place while comments and display names stay, and extracting recipients (`sendmail
// -t`).
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace stagepost::mail {

struct AddressListLimits {
  /// Parameter header_address_token_limit: tokens after this many are dropped.
  std::size_t tokens = 10240;
};

/// An address of the list, in external form, and what stands around it.
struct ListedAddress {
  std::string address = {};
  /// Display name (unquoted) or, for "user@host (Name)", the comment.
  std::string display_name = {};
};

/// All addresses of a field body or of a command-line argument, group members included, group names not.
[[nodiscard]] std::vector<ListedAddress> extract_addresses(std::string_view body, const AddressListLimits& limits = {});

/// Called with one address in external form; returns the external form to put in its place.
using AddressRewriter = std::function<std::string(std::string_view external)>;

struct RewrittenField {
  /// The whole field: "Name: " and the list, one address to a line when it does not fit, as Postfix folds.
  std::string field = {};
  /// False when no address changed; `field` is then the input, byte for byte.
  bool changed = false;
  /// Tokens were dropped (AddressListLimits::tokens).
  bool truncated = false;
};

/// Rewrites each address of an address field ("To: a, b", with '\n' between its lines).
[[nodiscard]] RewrittenField rewrite_header_addresses(std::string_view field, const AddressRewriter& rewrite,
                                                      const AddressListLimits& limits = {});

/// `display_name` and `external` as one mailbox: "Name <a@b>", the name quoted where RFC 5322 needs it; parameter
/// header_from_format.
enum class FromFormat { standard, obsolete };
[[nodiscard]] std::string format_mailbox(std::string_view external, std::string_view display_name,
                                         FromFormat format = FromFormat::standard);

}  // namespace stagepost::mail
