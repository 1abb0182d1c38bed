// See received.hpp.
#include "mail/received.hpp"

#include <fmt/format.h>

#include "mail/date.hpp"

namespace stagepost::mail {
namespace {

/// Longest client-chosen text kept, so that a line stays below the limit of RFC 5322 §2.1.1.
constexpr std::size_t kClientOctets = 255;

/// Control characters would end the line; parentheses or backslashes in a comment would end the comment.
std::string clean(std::string_view text, std::string_view also = {}) {
  std::string result(text.substr(0, kClientOctets));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || also.find(c) != std::string_view::npos) { c = '?'; }
  }
  return result;
}

void append_tls(const ReceivedTls& tls, std::string& out) {
  out += fmt::format("\n\t(using {} with cipher {} ({}/{} bits)", tls.protocol, tls.cipher, tls.cipher_bits_used,
                     tls.cipher_bits_available);
  const auto attribute = [&out](std::string_view name, std::string_view value, std::string_view digest_name,
                                std::string_view digest) {
    if (!value.empty()) {
      out += fmt::format(" {} {}", name, value);
      if (!digest.empty()) { out += fmt::format(" {} {}", digest_name, digest); }
    }
  };
  if (!tls.key_exchange.empty() || !tls.server_signature.empty()) {
    out += "\n\t";
    attribute("key-exchange", tls.key_exchange, "", "");
    attribute("server-signature", tls.server_signature, "server-digest", tls.server_digest);
  }
  if (!tls.client_signature.empty()) {
    out += "\n\t";
    attribute("client-signature", tls.client_signature, "client-digest", tls.client_digest);
  }
  out += ")\n\t";
  constexpr std::string_view kSpecial = "()\\\"";
  switch (tls.trust) {
    case ReceivedTls::Trust::none_requested:
      out += "(No client certificate requested)";
      break;
    case ReceivedTls::Trust::not_presented:
      out += "(Client did not present a certificate)";
      break;
    case ReceivedTls::Trust::not_verified:
    case ReceivedTls::Trust::verified:
      out += fmt::format("(Client CN \"{}\", Issuer \"{}\" ({}))", clean(tls.peer_cn, kSpecial),
                         clean(tls.issuer_cn, kSpecial),
                         tls.trust == ReceivedTls::Trust::verified ? "verified OK" : "not verified");
      break;
  }
}

}  // namespace

std::string received_from_client(const ReceivedFromClient& client, const ReceivedBy& by) {
  std::string out = fmt::format("Received: from {} ({} [{}])", clean(client.helo), clean(client.reverse_name, "()\\"),
                                clean(client.address));
  if (client.tls) { append_tls(*client.tls, out); }
  if (client.sasl_username) {
    out += fmt::format("\n\t(Authenticated sender: {})", clean(*client.sasl_username, "()\\"));
  }
  out += fmt::format("\n\tby {} ({}) with {} id {}", by.myhostname, by.mail_name, by.protocol, by.queue_id);
  out += by.recipient ? fmt::format("\n\tfor <{}>; ", clean(*by.recipient)) : std::string(";\n\t");
  return out + format_date(by.when);
}

std::string received_from_user(unsigned long uid, const ReceivedBy& by) {
  return fmt::format("Received: by {} ({}, from userid {})\n\tid {}; {}", by.myhostname, by.mail_name, uid, by.queue_id,
                     format_date(by.when));
}

std::string received_internal(const ReceivedBy& by) {
  return fmt::format("Received: by {} ({})\n\tid {}; {}", by.myhostname, by.mail_name, by.queue_id,
                     format_date(by.when));
}

}  // namespace stagepost::mail
