// See dialogue.hpp. Codes and texts are those of Postfix 3.7.11, taken from its behaviour.
#include "smtpd/smtpd/dialogue.hpp"

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "mail/hostname.hpp"

namespace stagepost::smtpd {
namespace {

using smtp::Command;
using smtp::Reply;
using smtp::Verb;

Answer answer(int code, std::string_view enhanced, std::string text) {
  return {.reply = {.code = code, .enhanced = std::string(enhanced), .text = std::move(text)}};
}

Answer bad_address(Reply reply, std::string_view verb, std::string_view argument, std::string_view keyword) {
  Answer result{.reply = std::move(reply)};
  if (result.reply.enhanced != "5.1.7" && result.reply.enhanced != "5.1.3") { return result; }
  if (text::istarts_with(argument, keyword)) { argument.remove_prefix(keyword.size()); }
  const auto split = mail::split_path(text::trim(argument));
  result.warning = {.before = "Illegal address syntax",
                    .after = fmt::format(" in {} command: {}", verb, printable(split.path.substr(0, 100)))};
  return result;
}

/// RFC 1985: a domain, "@domain" for it and its subdomains, "#queue".
bool is_etrn_domain(std::string_view domain) {
  if (const auto literal = mail::parse_address_literal(domain)) { return true; }
  return mail::is_valid_hostname(domain);
}

}  // namespace

smtp::CommandOptions Dialogue::command_options() const {
  return {.strict_rfc821_envelopes = settings_->strict_rfc821_envelopes,
          .dsn = settings_->keywords.dsn,
          .smtputf8 = settings_->smtputf8 && settings_->keywords.smtputf8,
          .strict_smtputf8 = settings_->strict_smtputf8,
          .xverp = verp_,
          .verp_delimiter_filter = settings_->verp_delimiter_filter,
          .requiretls = false,
          .message_size_limit = settings_->message_size_limit,
          .transaction_smtputf8 = smtputf8_};
}

bool Dialogue::may_pipeline_after(Verb verb) const {
  if (!esmtp_ || !settings_->keywords.pipelining) { return false; }
  switch (verb) {
    case Verb::helo:
    case Verb::ehlo:
    case Verb::data:
    case Verb::vrfy:
    case Verb::noop:
      return false;
    case Verb::starttls:
      // What follows in plain text must never be taken for something said under TLS.
      return tls_ != TlsState::ready;
    default:
      return true;
  }
}

Action Dialogue::on_command(const Command& command) {
  if (settings_->tls_level == tls::Level::encrypt && tls_ != TlsState::active) {
    switch (command.verb) {
      case Verb::helo:
      case Verb::ehlo:
      case Verb::noop:
      case Verb::starttls:
      case Verb::quit:
        break;
      default:
        return answer(530, "5.7.0", "Must issue a STARTTLS command first");
    }
  }
  switch (command.verb) {
    case Verb::helo:
    case Verb::ehlo:
      return on_helo(command);
    case Verb::mail:
      return on_mail(command);
    case Verb::rcpt:
      return on_rcpt(command);
    case Verb::data:
      return on_data(command);
    case Verb::bdat:
      return on_bdat(command);
    case Verb::vrfy:
      return on_vrfy(command);
    case Verb::etrn:
      return on_etrn(command);
    case Verb::starttls:
      return on_starttls(command);
    case Verb::rset:
      if (!command.argument.empty()) { return answer(501, "5.5.4", "Syntax: RSET"); }
      reset();
      return answer(250, "2.0.0", "Ok");
    case Verb::noop:
      return answer(250, "2.0.0", "Ok");
    case Verb::quit: {
      Answer bye = answer(221, "2.0.0", "Bye");
      bye.close = true;
      return bye;
    }
    case Verb::auth:
      return answer(503, "5.5.1", "Error: authentication not enabled");
    case Verb::xclient:
    case Verb::xforward:
      if (command.argument.empty()) {
        return answer(501, "5.5.4", fmt::format("Syntax: {} attribute=value...", smtp::verb_name(command.verb)));
      }
      return answer(550, "5.7.0", "Error: insufficient authorization");
    case Verb::empty:
      return answer(500, "5.5.2", "Error: bad syntax");
    case Verb::unknown:
    case Verb::lhlo:
    case Verb::expn:
    case Verb::help:
      return answer(500, "5.5.2", "Error: command not recognized");
  }
  return answer(500, "5.5.2", "Error: command not recognized");
}

Action Dialogue::on_helo(const Command& command) const {
  const bool esmtp = command.verb == Verb::ehlo;
  if (command.argument.empty()) { return answer(501, "", fmt::format("Syntax: {} hostname", esmtp ? "EHLO" : "HELO")); }
  // Only the first word; what a client says is shown in many places.
  const std::string_view name = command.argument.substr(0, command.argument.find_first_of(" \t"));
  return CheckHelo{.name = printable(name), .esmtp = esmtp};
}

Action Dialogue::on_mail(const Command& command) const {
  if (settings_->helo_required && helo_.empty()) { return answer(503, "5.5.1", "Error: send HELO/EHLO first"); }
  if (in_transaction_) { return answer(503, "5.5.1", "Error: nested MAIL command"); }
  if (chunking_ != Chunking::none) { return answer(503, "5.5.1", "Error: MAIL after BDAT"); }
  auto parsed = smtp::parse_mail(command.argument, command_options());
  if (!parsed) { return bad_address(std::move(parsed).error(), "MAIL", command.argument, "FROM:"); }
  return CheckMail{std::move(*parsed)};
}

Action Dialogue::on_rcpt(const Command& command) const {
  if (!in_transaction_) { return answer(503, "5.5.1", "Error: need MAIL command"); }
  if (chunking_ != Chunking::none) { return answer(503, "5.5.1", "Error: RCPT after BDAT"); }
  auto parsed = smtp::parse_rcpt(command.argument, command_options());
  if (!parsed) { return bad_address(std::move(parsed).error(), "RCPT", command.argument, "TO:"); }
  // RFC 5321 §4.5.3.1.10: 452, so that the client sends the rest in another transaction.
  if (settings_->recipient_limit > 0 && recipients_ >= settings_->recipient_limit) {
    return answer(452, "4.5.3", "Error: too many recipients");
  }
  return CheckRcpt{std::move(*parsed)};
}

Action Dialogue::on_data(const Command& command) const {
  if (chunking_ != Chunking::none) { return answer(503, "5.5.1", "Error: DATA after BDAT"); }
  if (recipients_ == 0) {
    if (!in_transaction_) { return answer(503, "5.5.1", "Error: need RCPT command"); }
    return answer(554, "5.5.1", "Error: no valid recipients");
  }
  if (!command.argument.empty()) { return answer(501, "5.5.4", "Syntax: DATA"); }
  return BeginData{};
}

Action Dialogue::on_bdat(const Command& command) const {
  if (!settings_->keywords.chunking) {
    Answer closing = answer(521, "5.5.1", "Error: command not implemented");
    closing.close = true;
    return closing;
  }
  const auto parsed = smtp::parse_bdat(command.argument);
  if (!parsed) {
    Answer refused{.reply = parsed.error(), .close = parsed.error().code == 521};
    refused.warning = {.before = "null BDAT request", .with_queue_id = true};
    if (refused.close) {
      refused.warning.before = "malformed BDAT command syntax";
      refused.warning.after = ": BDAT " + printable(command.argument.substr(0, 100));
    }
    return refused;
  }
  Chunk chunk{.size_bytes = parsed->size_bytes, .last = parsed->last, .refusal = std::nullopt};
  if (chunking_ == Chunking::failed) {
    chunk.refusal = Reply{.code = 551,
                          .enhanced = "5.0.0",
                          .text = fmt::format("Discarded {} bytes after earlier error", parsed->size_bytes)};
  } else if (recipients_ == 0) {
    chunk.refusal = in_transaction_ ? Reply{.code = 554, .enhanced = "5.5.1", .text = "Error: no valid recipients"}
                                    : Reply{.code = 503, .enhanced = "5.5.1", .text = "Error: need RCPT command"};
  }
  return chunk;
}

Action Dialogue::on_vrfy(const Command& command) const {
  if (settings_->disable_vrfy_command) { return answer(502, "5.5.1", "VRFY command is disabled"); }
  if (command.argument.empty()) { return answer(501, "5.5.4", "Syntax: VRFY address [SMTPUTF8]"); }
  std::string_view argument = command.argument;
  if (text::iends_with(argument, " SMTPUTF8")) { argument = text::trim(argument.substr(0, argument.size() - 9)); }
  const auto bad = [&] {
    Answer refused = answer(501, "5.1.3", "Bad recipient address syntax");
    refused.warning = {.before = "Illegal address syntax",
                       .after = " in VRFY command: " + printable(argument.substr(0, 100))};
    return refused;
  };
  const auto split = mail::split_path(argument);
  if (!split.rest.empty()) { return bad(); }
  auto address = mail::parse_path(PeerBytes(split.path), {.utf8 = mail::Utf8::allow, .allow_null = false});
  if (!address) { return bad(); }
  return CheckVrfy{std::move(*address)};
}

Action Dialogue::on_etrn(const Command& command) const {
  if (in_transaction_) { return answer(503, "", "Error: MAIL transaction in progress"); }
  std::string_view domain = command.argument;
  if (domain.empty() || domain.find_first_of(" \t") != std::string_view::npos) {
    return answer(500, "", "Syntax: ETRN domain");
  }
  if (domain.front() == '@' || domain.front() == '#') { domain.remove_prefix(1); }
  if (!is_etrn_domain(domain)) { return answer(501, "", "Error: invalid parameter syntax"); }
  return CheckEtrn{std::string(domain)};
}

Action Dialogue::on_starttls(const Command& command) const {
  if (!command.argument.empty()) { return answer(501, "5.5.4", "Syntax: STARTTLS"); }
  switch (tls_) {
    case TlsState::active:
      return answer(554, "5.5.1", "Error: TLS already active");
    case TlsState::none:
      return answer(502, "5.5.1", "Error: command not implemented");
    case TlsState::unavailable:
      return answer(454, "4.7.0", "TLS not available due to local problem");
    case TlsState::ready:
      return StartTls{};
  }
  return answer(502, "5.5.1", "Error: command not implemented");
}

std::string Dialogue::ehlo_text() const {
  const Keywords& offered = settings_->keywords;
  std::string text = settings_->myhostname;
  if (offered.pipelining) { text += "\nPIPELINING"; }
  if (offered.size) {
    text += settings_->message_size_limit > 0 ? fmt::format("\nSIZE {}", settings_->message_size_limit) : "\nSIZE";
  }
  if (offered.vrfy && !settings_->disable_vrfy_command) { text += "\nVRFY"; }
  if (offered.etrn) { text += "\nETRN"; }
  if (offered.starttls && (tls_ == TlsState::ready || tls_ == TlsState::unavailable)) { text += "\nSTARTTLS"; }
  if (verp_) { text += "\nXVERP"; }
  if (offered.enhanced_status_codes) { text += "\nENHANCEDSTATUSCODES"; }
  if (offered.eight_bit_mime) { text += "\n8BITMIME"; }
  if (offered.dsn) { text += "\nDSN"; }
  if (offered.smtputf8 && settings_->smtputf8) { text += "\nSMTPUTF8"; }
  if (offered.chunking) { text += "\nCHUNKING"; }
  return text;
}

void Dialogue::helo_accepted(std::string name, bool esmtp) {
  reset();
  helo_ = std::move(name);
  // A HELO after EHLO takes nothing back, as in Postfix.
  esmtp_ = esmtp_ || esmtp;
}

void Dialogue::helo_refused(std::string name) { helo_ = std::move(name); }

void Dialogue::mail_accepted(const smtp::MailCommand& command) {
  in_transaction_ = true;
  smtputf8_ = command.smtputf8;
}

void Dialogue::reset() {
  in_transaction_ = false;
  smtputf8_ = false;
  chunking_ = Chunking::none;
  recipients_ = 0;
}

void Dialogue::tls_started() {
  reset();
  helo_.clear();
  esmtp_ = false;
  tls_ = TlsState::active;
}

}  // namespace stagepost::smtpd
