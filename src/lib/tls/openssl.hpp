// Owners of OpenSSL objects and the text of its error queue. For the .cpp files of this layer only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls/session_info.hpp"

namespace stagepost::tls {

template <auto free_function>
struct Release {
  template <class T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using SslPtr = std::unique_ptr<SSL, Release<SSL_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, Release<SSL_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, Release<X509_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;

/// Empties the thread's error queue; one line per entry, as Postfix logs them after "TLS library problem: ".
[[nodiscard]] std::string take_library_errors();
/// What is known of a finished handshake. `digest` is a digest's name ("sha256").
[[nodiscard]] SessionInfo session_info(SSL* ssl, Role role, std::string_view digest);

}  // namespace stagepost::tls
