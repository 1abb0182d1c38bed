// Header fields (RFC 5322 §2.2): recognising one, naming it, taking it apart, folding and unfolding. A field that
// occupies several lines is one string with '\n' between its lines and none at the end. Address lists inside a field
// are in address_list.hpp; the MIME state machine that finds the fields is in mime.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stagepost::mail {

/// Header fields that some daemon treats specially. All others are `other`.
enum class HeaderKind : std::uint8_t {
  other,
  apparently_to,
  bcc,
  cc,
  content_description,
  content_disposition,
  content_id,
  content_length,
  content_transfer_encoding,
  content_type,
  date,
  delivered_to,
  disposition_notification_to,
  errors_to,
  from,
  mail_followup_to,
  message_id,
  mime_version,
  received,
  reply_to,
  resent_bcc,
  resent_cc,
  resent_date,
  resent_from,
  resent_message_id,
  resent_reply_to,
  resent_sender,
  resent_to,
  return_path,
  return_receipt_to,
  sender,
  subject,
  to,
};

struct HeaderTraits {
  /// Holds addresses that are rewritten: of senders, of recipients, or none.
  enum class Addresses : std::uint8_t { none, sender, recipient };
  Addresses addresses = Addresses::none;
  /// `sendmail -t` takes recipients from it.
  bool extract_recipients = false;
  bool resent = false;
  /// Content-* and MIME-Version.
  bool mime = false;
};

/// Case-insensitive; constant time in practice (length and first letter decide).
[[nodiscard]] HeaderKind header_kind(std::string_view name);
[[nodiscard]] HeaderTraits header_traits(HeaderKind kind);
/// Name in its usual spelling ("Message-Id"); "" for `other`.
[[nodiscard]] std::string_view header_name(HeaderKind kind);

/// Octets of the field name at the start of a line that begins a header field, 0 if it does not begin one: printable
/// ASCII without ':' and space, then optional white space, then ':'.
[[nodiscard]] std::size_t header_name_length(std::string_view line);
/// True for a line that continues the field before it: starts with space or tab.
[[nodiscard]] constexpr bool is_header_continuation(std::string_view line) {
  return !line.empty() && (line.front() == ' ' || line.front() == '\t');
}

/// Views into the field.
struct HeaderField {
  std::string_view name = {};
  /// After the colon and the white space that follows it; line breaks are still in it.
  std::string_view body = {};
  HeaderKind kind = HeaderKind::other;
};
[[nodiscard]] std::optional<HeaderField> parse_header_field(std::string_view field);

/// The field without line breaks (RFC 5322 §2.2.3: each CRLF that precedes white space is removed; nothing else).
[[nodiscard]] std::string unfold(std::string_view folded);

/// Breaks a long field before white space, so that lines are at most `limit` octets where a break point exists. The
/// white space itself begins the next line. Existing breaks stay.
[[nodiscard]] std::string fold(std::string_view field, std::size_t limit = 78);

}  // namespace stagepost::mail
