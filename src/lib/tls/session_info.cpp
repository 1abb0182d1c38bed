#include "tls/session_info.hpp"

#include <fmt/format.h>

namespace stagepost::tls {

std::string_view trust_name(Trust trust) {
  switch (trust) {
    case Trust::anonymous:
      return "Anonymous";
    case Trust::untrusted:
      return "Untrusted";
    case Trust::trusted:
      return "Trusted";
    case Trust::verified:
      return "Verified";
  }
  return "Untrusted";
}

std::string describe_session(const SessionInfo& session) {
  std::string out = fmt::format("{} with cipher {} ({}/{} bits)", session.protocol, session.cipher,
                                session.cipher_bits_used, session.cipher_bits_available);
  if (!session.key_exchange.empty()) { out += " key-exchange " + session.key_exchange; }
  const auto signature = [&](std::string_view side, const std::string& algorithm, const std::string& digest) {
    if (algorithm.empty()) { return; }
    out += fmt::format(" {}-signature {}", side, algorithm);
    if (!digest.empty()) { out += fmt::format(" {}-digest {}", side, digest); }
  };
  signature("server", session.server_signature, session.server_digest);
  signature("client", session.client_signature, session.client_digest);
  return out;
}

std::string established_line(Role role, std::string_view peer, const SessionInfo& session) {
  return fmt::format("{} TLS connection {} {} {}: {}", trust_name(session.trust),
                     session.resumed ? "reused" : "established", role == Role::server ? "from" : "to", peer,
                     describe_session(session));
}

}  // namespace stagepost::tls
