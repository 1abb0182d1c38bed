// What is known about an established TLS session, and the texts Postfix makes of it for the log.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stagepost::tls {

/// How far the peer's certificate is believed, as the log line says it.
enum class Trust : std::uint8_t {
  anonymous,  ///< no certificate from the peer
  untrusted,  ///< a certificate that no trusted CA vouches for
  trusted,    ///< signed by a trusted CA
  verified,   ///< trusted, and it names the peer (or matches what policy wants)
};
[[nodiscard]] std::string_view trust_name(Trust trust);

struct SessionInfo {
  std::string protocol;  ///< "TLSv1.3"
  std::string cipher;    ///< "TLS_AES_256_GCM_SHA384"
  int cipher_bits_used = 0;
  int cipher_bits_available = 0;
  /// "X25519", "ECDHE (P-256)", "DHE (2048 bits)"; known for TLS 1.3 only, as the signatures.
  std::string key_exchange;
  std::string server_signature;  ///< "RSA-PSS (2048 bits)"; empty: unknown (resumed session)
  std::string server_digest;     ///< "SHA256"
  std::string client_signature;
  std::string client_digest;

  Trust trust = Trust::anonymous;
  bool peer_certificate = false;
  /// The server asked for a certificate (smtpd_tls_ask_ccert, smtpd_tls_req_ccert).
  bool certificate_requested = false;
  bool resumed = false;
  std::string peer_cn;    ///< printable; empty when there is none
  std::string issuer_cn;  ///< printable
  /// "AA:BB:..." by *_tls_fingerprint_digest; of the certificate and of its public key.
  std::string certificate_fingerprint;
  std::string public_key_fingerprint;
  /// The peer's certificate, for {cert_*} macros and later checks: DER.
  std::string certificate_der;
};

enum class Role : std::uint8_t { server, client };

/// "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits)
/// server-digest SHA256"
[[nodiscard]] std::string describe_session(const SessionInfo& session);
/// "Anonymous TLS connection established from host[addr]: ..." (server) or "... to host[addr]:25: ..." (client).
[[nodiscard]] std::string established_line(Role role, std::string_view peer, const SessionInfo& session);

}  // namespace stagepost::tls
