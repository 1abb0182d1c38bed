#include "tls/openssl.hpp"

#include <array>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include "base/safe_text.hpp"

namespace stagepost::tls {
namespace {

std::string key_group(const EVP_PKEY* key) {
  std::array<char, 80> name{};
  std::size_t length = 0;
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), &length) != 1) { return {}; }
  return {name.data(), length};
}

std::string describe_key_exchange(SSL* ssl) {
  EVP_PKEY* raw = nullptr;
  if (SSL_get_peer_tmp_key(ssl, &raw) != 1 || raw == nullptr) { return {}; }
  const PkeyPtr key(raw);
  switch (EVP_PKEY_get_base_id(key.get())) {
    case EVP_PKEY_EC:
      return fmt::format("ECDHE ({})", key_group(key.get()));
    case EVP_PKEY_DH:
      return fmt::format("DHE ({} bits)", EVP_PKEY_get_bits(key.get()));
    default:
      return OBJ_nid2sn(EVP_PKEY_get_base_id(key.get()));
  }
}

std::string describe_signature(int type, const EVP_PKEY* key) {
  switch (type) {
    case EVP_PKEY_RSA:
      return fmt::format("RSA-PKCS1 ({} bits)", key == nullptr ? 0 : EVP_PKEY_get_bits(key));
    case EVP_PKEY_RSA_PSS:
      return fmt::format("RSA-PSS ({} bits)", key == nullptr ? 0 : EVP_PKEY_get_bits(key));
    case EVP_PKEY_EC:
      return fmt::format("ECDSA ({})", key == nullptr ? "" : key_group(key));
    default:
      return OBJ_nid2sn(type);
  }
}

std::string common_name(const X509_NAME* name) {
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) { return {}; }
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, value);
  if (length < 0) { return {}; }
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(utf8, [](unsigned char* p) { OPENSSL_free(p); });
  // RFC 5280 bounds a common name at 64 characters; longer ones are cut for the log.
  return LogText(PeerBytes({reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length)}), 256).str();
}

std::string fingerprint(const unsigned char* data, std::size_t size, const EVP_MD* digest) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned length = 0;
  if (EVP_Digest(data, size, hash.data(), &length, digest, nullptr) != 1) { return {}; }
  std::string out;
  for (unsigned i = 0; i < length; ++i) { out += fmt::format("{}{:02X}", i == 0 ? "" : ":", hash.at(i)); }
  return out;
}

std::string to_der(const X509* certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509(certificate, &der);
  if (length <= 0) { return {}; }
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(length));
  OPENSSL_free(der);
  return out;
}

void describe_certificate(SessionInfo& info, X509* certificate, std::string_view digest_name) {
  info.peer_cn = common_name(X509_get_subject_name(certificate));
  info.issuer_cn = common_name(X509_get_issuer_name(certificate));
  info.certificate_der = to_der(certificate);
  const EVP_MD* digest = EVP_get_digestbyname(std::string(digest_name).c_str());
  if (digest == nullptr) { return; }
  info.certificate_fingerprint = fingerprint(reinterpret_cast<const unsigned char*>(info.certificate_der.data()),
                                             info.certificate_der.size(), digest);
  unsigned char* key = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
  if (length > 0) {
    info.public_key_fingerprint = fingerprint(key, static_cast<std::size_t>(length), digest);
    OPENSSL_free(key);
  }
}

}  // namespace

std::string take_library_errors() {
  std::string lines;
  const char* file = nullptr;
  const char* function = nullptr;
  const char* data = nullptr;
  int line = 0;
  int flags = 0;
  while (const unsigned long code = ERR_get_error_all(&file, &line, &function, &data, &flags)) {
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    const bool has_data = (flags & ERR_TXT_STRING) != 0 && data != nullptr;
    lines += fmt::format("{}{}:{}:{}:{}", lines.empty() ? "" : "\n", text.data(), file == nullptr ? "" : file, line,
                         has_data ? fmt::format("{}:", data) : "");
  }
  return lines;
}

SessionInfo session_info(SSL* ssl, Role role, std::string_view digest) {
  SessionInfo info;
  info.protocol = SSL_get_version(ssl);
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl)) {
    info.cipher = SSL_CIPHER_get_name(cipher);
    info.cipher_bits_used = SSL_CIPHER_get_bits(cipher, &info.cipher_bits_available);
  }
  info.resumed = SSL_session_reused(ssl) == 1;

  const X509Ptr certificate(SSL_get1_peer_certificate(ssl));
  if (certificate) {
    info.peer_certificate = true;
    info.trust = SSL_get_verify_result(ssl) == X509_V_OK ? Trust::trusted : Trust::untrusted;
    describe_certificate(info, certificate.get(), digest);
  }

  // Before TLS 1.3 the cipher's name says how keys are exchanged.
  if (SSL_version(ssl) < TLS1_3_VERSION) { return info; }
  info.key_exchange = describe_key_exchange(ssl);
  const EVP_PKEY* peer_key = certificate ? X509_get0_pubkey(certificate.get()) : nullptr;
  const EVP_PKEY* own_key = SSL_get_privatekey(ssl);
  const auto describe = [](long has_type, int type, long has_digest, int nid, const EVP_PKEY* key,
                           std::string& algorithm, std::string& hash) {
    if (has_type != 1 || type == NID_undef || key == nullptr) { return; }
    algorithm = describe_signature(type, key);
    if (has_digest == 1 && nid != NID_undef) { hash = OBJ_nid2sn(nid); }
  };
  int peer_type = NID_undef;
  int peer_digest = NID_undef;
  int own_type = NID_undef;
  int own_digest = NID_undef;
  const long has_peer_type = SSL_get_peer_signature_type_nid(ssl, &peer_type);
  const long has_peer_digest = SSL_get_peer_signature_nid(ssl, &peer_digest);
  const long has_own_type = SSL_get_signature_type_nid(ssl, &own_type);
  const long has_own_digest = SSL_get_signature_nid(ssl, &own_digest);
  const bool server = role == Role::server;
  describe(has_peer_type, peer_type, has_peer_digest, peer_digest, peer_key,
           server ? info.client_signature : info.server_signature, server ? info.client_digest : info.server_digest);
  describe(has_own_type, own_type, has_own_digest, own_digest, own_key,
           server ? info.server_signature : info.client_signature, server ? info.server_digest : info.client_digest);
  return info;
}

}  // namespace stagepost::tls
