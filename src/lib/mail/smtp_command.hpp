// SMTP commands as a server reads them (RFC 5321 §4.1, 1870, 3030, 3461, 6152, 6531; XVERP): verb and argument, and the
// parameters of MAIL and RCPT. Total: a malformed line is a value, or the exact reply that Postfix gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/safe_text.hpp"
#include "mail/address.hpp"
#include "mail/dsn.hpp"
#include "mail/reply.hpp"

namespace stagepost::smtp {

enum class Verb : std::uint8_t {
  unknown,
  empty,
  helo,
  ehlo,
  lhlo,
  mail,
  rcpt,
  data,
  bdat,
  rset,
  noop,
  quit,
  vrfy,
  expn,
  help,
  etrn,
  starttls,
  auth,
  xclient,
  xforward,
};

/// Views into the line.
struct Command {
  Verb verb = Verb::empty;
  /// The verb as sent.
  std::string_view word = {};
  /// The rest, without white space at either end.
  std::string_view argument = {};
};

/// `line` is without its line end. Total.
[[nodiscard]] Command parse_command(std::string_view line);
[[nodiscard]] std::string_view verb_name(Verb verb);

struct CommandOptions {
  bool strict_rfc821_envelopes = false;
  /// Which extensions this session offers: a parameter of another is 555.
  /// False: RET, ENVID, NOTIFY and ORCPT are 501. (SIZE and BODY are understood whether announced or not, as Postfix.)
  bool dsn = true;
  bool smtputf8 = true;
  /// Parameter strict_smtputf8: an address with bytes >= 0x80 needs SMTPUTF8 with MAIL (553 5.6.7).
  bool strict_smtputf8 = false;
  bool xverp = false;
  /// Parameter verp_delimiter_filter: what XVERP's delimiters may be.
  std::string_view verp_delimiter_filter = "-=+";
  bool requiretls = false;
  /// Parameter message_size_limit; 0: none. A larger SIZE is 552 5.3.4.
  std::uint64_t message_size_limit = 0;
  /// RCPT: SMTPUTF8 was given with MAIL.
  bool transaction_smtputf8 = false;
};

enum class Body : std::uint8_t { unspecified, seven_bit, eight_bit_mime };

struct MailCommand {
  mail::Address sender = {};
  /// The path as the client wrote it, for logs and policy.
  std::string_view path = {};
  std::optional<std::uint64_t> size_bytes = {};
  Body body = Body::unspecified;
  bool smtputf8 = false;
  bool requiretls = false;
  /// AUTH= value, xtext decoded ("<>" stays).
  std::optional<std::string> auth = {};
  dsn::Ret ret = dsn::Ret::none;
  /// Decoded.
  std::optional<std::string> envid = {};
  /// XVERP: delimiters, or "" for the default ones.
  std::optional<std::string> verp_delimiters = {};
};

struct RcptCommand {
  mail::Address recipient = {};
  std::string_view path = {};
  dsn::Notify notify = dsn::Notify::none;
  std::optional<dsn::OriginalRecipient> orcpt = {};
};

/// `argument` of MAIL or RCPT. The error is the reply to send.
[[nodiscard]] std::expected<MailCommand, Reply> parse_mail(std::string_view argument, const CommandOptions& options);
[[nodiscard]] std::expected<RcptCommand, Reply> parse_rcpt(std::string_view argument, const CommandOptions& options);

/// RFC 3030 §2. Errors are 521 (the stream of chunks is out of step: close after the reply) and 551.
struct BdatCommand {
  std::uint64_t size_bytes = 0;
  bool last = false;
};
[[nodiscard]] std::expected<BdatCommand, Reply> parse_bdat(std::string_view argument);

}  // namespace stagepost::smtp
