// Delivery status values: enhanced status codes (RFC 3463) and the DSN parameters of SMTP (RFC 3461): NOTIFY, RET,
// ENVID, ORCPT and the xtext encoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost::dsn {

/// The outcome for one recipient: code "2.0.0", "4.4.1" …, and one line of text for log and report.
struct Status {
  std::string code = {};
  std::string text = {};
  [[nodiscard]] bool is_success() const { return !code.empty() && code.front() == '2'; }
  [[nodiscard]] bool is_temporary() const { return !code.empty() && code.front() == '4'; }
  [[nodiscard]] bool is_permanent() const { return !code.empty() && code.front() == '5'; }
  friend bool operator==(const Status&, const Status&) = default;
};

/// Octets of the enhanced status code at the start of `s` ("4.7.1 text" gives 5), followed by white space or the end; 0
/// if there is none. class 2, 4 or 5; subject and detail one to three digits.
[[nodiscard]] std::size_t code_length(std::string_view s);
[[nodiscard]] bool is_code(std::string_view s);
/// Takes a code off the start of `text`; without one the code is `default_code`.
[[nodiscard]] Status split_status(std::string_view text, std::string_view default_code);
/// `code` with its class digit replaced (soft_bounce, or a reply of another class).
[[nodiscard]] std::string with_class(std::string_view code, char class_digit);

/// RFC 3461 §4.1. `none` (no parameter given) leaves the choice to the MTA: failure and delay.
enum class Notify : std::uint8_t { none = 0, never = 1, success = 2, failure = 4, delay = 8 };
[[nodiscard]] constexpr Notify operator|(Notify a, Notify b) {
  return static_cast<Notify>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
[[nodiscard]] constexpr bool has(Notify set, Notify flag) {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(flag)) != 0;
}
/// "NEVER" or a list of SUCCESS, FAILURE, DELAY; case-insensitive; NEVER stands alone.
[[nodiscard]] std::optional<Notify> parse_notify(std::string_view value);
[[nodiscard]] std::string format_notify(Notify notify);

enum class Ret : std::uint8_t { none = 0, full = 1, headers = 2 };
[[nodiscard]] std::optional<Ret> parse_ret(std::string_view value);
[[nodiscard]] std::string_view format_ret(Ret ret);

/// RFC 3461 §4: bytes outside '!'..'~', '+' and '=' become "+XX".
[[nodiscard]] std::string xtext_encode(std::string_view plain);
/// nullopt for a malformed "+XX", for a byte xtext does not allow, and for an encoded NUL.
[[nodiscard]] std::optional<std::string> xtext_decode(std::string_view encoded);
/// RFC 6533 §3 utf-8-addr-xtext / unitext: "\x{HHHH}" for what xtext can't hold.
[[nodiscard]] std::optional<std::string> unitext_decode(std::string_view encoded);
[[nodiscard]] std::string unitext_encode(std::string_view plain);

/// The original recipient: address type ("rfc822", "utf-8"), lower case, and the decoded address.
struct OriginalRecipient {
  std::string type = {};
  std::string address = {};
  friend bool operator==(const OriginalRecipient&, const OriginalRecipient&) = default;
};
/// "rfc822;xtext"; decoded. nullopt if malformed, or if the address holds control characters.
[[nodiscard]] std::optional<OriginalRecipient> parse_orcpt(std::string_view value);
/// "rfc822;" and the xtext of the address.
[[nodiscard]] std::string format_orcpt(const OriginalRecipient& recipient);

/// ENVID (RFC 3461 §4.4): decoded, printable ASCII, not empty; nullopt if malformed.
[[nodiscard]] std::optional<std::string> parse_envid(std::string_view value);

}  // namespace stagepost::dsn
