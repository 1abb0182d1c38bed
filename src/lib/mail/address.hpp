// Mailbox addresses: the checked type `Address`, the parser for SMTP paths (RFC 5321 §4.1.2), quoting to and from the
// external form, and address extensions. Address lists in header fields are in address_list.hpp; rewriting to standard
// form is in rewrite.hpp.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/safe_text.hpp"

namespace stagepost::mail {

/// May bytes >= 0x80 appear (SMTPUTF8, RFC 6531)? If so, they must be well-formed UTF-8.
enum class Utf8 { forbid, allow };

/// A checked mailbox, or the null address. The local-part is in internal form: quotes and backslashes removed. Holds no
/// NUL, CR or LF, so its text can go into a queue record, a header or (quoted) an SMTP command.
class Address {
 public:
  Address() = default;  // the null address <>

  /// From internal form ("local part@domain", as in queue files and tables), split at the last '@'. No value if it
  /// holds NUL, CR or LF.
  [[nodiscard]] static std::optional<Address> from_internal(std::string_view internal);
  [[nodiscard]] static std::optional<Address> from_parts(std::string_view local_part, std::string_view domain);

  [[nodiscard]] const std::string& local_part() const { return local_part_; }
  /// Without '@'; "[192.0.2.1]" for an address literal; empty when the address has no domain.
  [[nodiscard]] const std::string& domain() const { return domain_; }
  [[nodiscard]] bool is_null() const { return local_part_.empty() && domain_.empty(); }
  /// "local part@domain"; "" for the null address; no '@' without a domain.
  [[nodiscard]] std::string internal() const;
  /// Quoted as RFC 5322 requires: "\"local part\"@domain".
  [[nodiscard]] std::string external() const;

  friend bool operator==(const Address&, const Address&) = default;

 private:
  Address(std::string local_part, std::string domain)
      : local_part_(std::move(local_part)), domain_(std::move(domain)) {}
  std::string local_part_ = {};
  std::string domain_ = {};
};

enum class PathError {
  syntax,    // 501 5.1.7 / 5.1.3
  empty,     // <> where a mailbox is needed, or nothing at all
  not_utf8,  // bytes >= 0x80 that are not UTF-8, or that are not allowed
  too_long,  // more than PathOptions::limit_octets
};

struct PathOptions {
  /// Parameter strict_rfc821_envelopes: <> required, no comments, display names or white space around the path.
  bool strict_rfc821_envelopes = false;
  Utf8 utf8 = Utf8::forbid;
  /// Is <> a value (MAIL FROM) or an error (RCPT TO)?
  bool allow_null = false;
  /// The longest path accepted, in octets. Postfix bounds it by line_length_limit only.
  std::size_t limit_octets = 2048;
};

/// Parses the path of MAIL FROM / RCPT TO, with or without <>; the whole of `path` is used. Source routes
/// ("@a,@b:user@c", RFC 5321 §4.1.1.3) are dropped, quoted strings unquoted. "Postmaster" without domain is a mailbox.
[[nodiscard]] std::expected<Address, PathError> parse_path(PeerBytes path, const PathOptions& options = {});

/// The first path of an SMTP argument: the bytes up to the white space that ends it (white space inside <> or quotes
/// does not), and the rest.
struct PathSplit {
  std::string_view path = {};
  std::string_view rest = {};
};
[[nodiscard]] PathSplit split_path(std::string_view argument);

/// External form of an internal-form address for a header (RFC 5322 §3.4.1): the local-part is a quoted string when it
/// is not a dot-atom. Bytes >= 0x80 stay as they are.
[[nodiscard]] std::string quote_822_local(std::string_view internal);
/// External form for an SMTP path, without the <> (RFC 5321 §4.1.2).
[[nodiscard]] std::string quote_821_local(std::string_view internal);
/// Internal form of an external-form address: quotes and backslashes of the local-part removed.
[[nodiscard]] std::string unquote_822_local(std::string_view external);

/// Local-part split by the first character of `delimiters` (parameter recipient_delimiter) that is a legal split point.
struct ExtensionSplit {
  std::string_view user = {};
  /// Without the delimiter; absent when there is none.
  std::optional<std::string_view> extension = {};
  /// The delimiter found, or NUL.
  char delimiter = '\0';
};
/// Parameter ownreq_special: `special` never splits owner-list and list-request at a '-'.
enum class OwnerRequest { special, plain };
/// Never split: postmaster, MAILER-DAEMON, double-bounce, and before the first character.
[[nodiscard]] ExtensionSplit split_extension(std::string_view local_part, std::string_view delimiters,
                                             OwnerRequest owner_request = OwnerRequest::special);
/// "user@domain" without the extension; nullopt when there is none to remove.
[[nodiscard]] std::optional<std::string> strip_extension(std::string_view internal, std::string_view delimiters);

/// Case folding for table look-ups: ASCII by table, otherwise Unicode default case folding (ICU) when `utf8` allows it
/// and the text is UTF-8; other bytes are left alone.
[[nodiscard]] std::string fold_case(std::string_view s, Utf8 utf8 = Utf8::allow);

}  // namespace stagepost::mail
