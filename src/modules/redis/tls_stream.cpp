// See tls_stream.hpp.
#include "tls_stream.hpp"

#include <arpa/inet.h>
#include <array>
#include <climits>
#include <utility>

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace stagepost::maps::redis {
namespace {

struct FreeSsl {
  void operator()(SSL* ssl) const { ::SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, FreeSsl>;

std::unexpected<Error> tls_failure(std::string what, std::errc code = std::errc::invalid_argument) {
  const unsigned long error = ::ERR_peek_last_error();
  const char* reason = error != 0 ? ::ERR_reason_error_string(error) : nullptr;
  ::ERR_clear_error();
  return failure(reason != nullptr ? fmt::format("{}: {}", what, reason) : std::move(what), code);
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

class TlsStream final : public PeerStream {
 public:
  /// Takes over `ssl`, whose BIOs are in memory: `from_peer` and `to_peer` belong to it.
  TlsStream(std::unique_ptr<PeerStream> inner, SslPtr ssl, BIO* from_peer, BIO* to_peer)
      : inner_(std::move(inner)), ssl_(std::move(ssl)), from_peer_(from_peer), to_peer_(to_peer) {}

  Result<> shake_hands(Deadline deadline) {
    for (;;) {
      ::ERR_clear_error();
      const int code = ::SSL_do_handshake(ssl_.get());
      const int error = ::SSL_get_error(ssl_.get(), code);
      if (const long verified = ::SSL_get_verify_result(ssl_.get()); code != 1 && verified != X509_V_OK) {
        (void)flush(deadline);
        ::ERR_clear_error();
        return failure(fmt::format("TLS: server certificate: {}", ::X509_verify_cert_error_string(verified)),
                       std::errc::permission_denied);
      }
      if (auto moved = step(code == 1 ? SSL_ERROR_NONE : error, deadline); !moved) {
        return std::unexpected(std::move(moved).error().within("TLS handshake"));
      }
      if (code == 1) { return {}; }
    }
  }

  Result<> write(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      ::ERR_clear_error();
      const int size = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
      const int code = ::SSL_write(ssl_.get(), bytes.data(), size);
      SP_TRY(step(code > 0 ? SSL_ERROR_NONE : ::SSL_get_error(ssl_.get(), code), deadline));
      if (code > 0) { bytes.remove_prefix(static_cast<std::size_t>(code)); }
    }
    return {};
  }

  Result<std::size_t> read(std::span<char> buffer, Deadline deadline) override {
    for (;;) {
      ::ERR_clear_error();
      const int size = static_cast<int>(std::min<std::size_t>(buffer.size(), INT_MAX));
      const int code = ::SSL_read(ssl_.get(), buffer.data(), size);
      if (code > 0) { return static_cast<std::size_t>(code); }
      SP_TRY(step(::SSL_get_error(ssl_.get(), code), deadline));
    }
  }

 private:
  /// After each call of OpenSSL: sends what it has made, fetches what it wants.
  Result<> step(int error, Deadline deadline) {
    SP_TRY(flush(deadline));
    switch (error) {
      case SSL_ERROR_NONE:
      case SSL_ERROR_WANT_WRITE:
        return {};
      case SSL_ERROR_WANT_READ: {
        std::array<char, 16384> buffer{};
        SP_TRY(const std::size_t got, inner_->read(buffer, deadline));
        if (::BIO_write(from_peer_, buffer.data(), static_cast<int>(got)) != static_cast<int>(got)) {
          return tls_failure("TLS: no memory", std::errc::not_enough_memory);
        }
        return {};
      }
      case SSL_ERROR_ZERO_RETURN:
        return failure("server closed the connection", std::errc::connection_reset);
      default:
        return tls_failure("TLS failure", std::errc::protocol_error);
    }
  }

  Result<> flush(Deadline deadline) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(to_peer_, &bytes);
    if (size <= 0) { return {}; }
    auto sent = inner_->write({bytes, static_cast<std::size_t>(size)}, deadline);
    (void)BIO_reset(to_peer_);
    return sent;
  }

  std::unique_ptr<PeerStream> inner_;
  SslPtr ssl_;
  BIO* from_peer_;
  BIO* to_peer_;
};

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::create(const TlsSettings& settings) {
  std::shared_ptr<TlsContext> made(new TlsContext);
  made->context_ = std::shared_ptr<SSL_CTX>(::SSL_CTX_new(::TLS_client_method()), ::SSL_CTX_free);
  SSL_CTX* context = made->context_.get();
  if (context == nullptr || ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
    return tls_failure("TLS cannot be set up");
  }
  const char* file = settings.ca_file.empty() ? nullptr : settings.ca_file.c_str();
  const char* path = settings.ca_path.empty() ? nullptr : settings.ca_path.c_str();
  if (file == nullptr && path == nullptr) {
    if (::SSL_CTX_set_default_verify_paths(context) != 1) { return tls_failure("certification authorities"); }
  } else if (::SSL_CTX_load_verify_locations(context, file, path) != 1) {
    return tls_failure(fmt::format("tls_CAfile \"{}\", tls_CApath \"{}\"", settings.ca_file, settings.ca_path));
  }
  if (!settings.cert_file.empty()) {
    const std::string& key = settings.key_file.empty() ? settings.cert_file : settings.key_file;
    if (::SSL_CTX_use_certificate_chain_file(context, settings.cert_file.c_str()) != 1) {
      return tls_failure("tls_cert_file " + settings.cert_file);
    }
    if (::SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
      return tls_failure("tls_key_file " + key);
    }
  }
  ::SSL_CTX_set_verify(context, settings.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  made->verify_ = settings.verify;
  made->server_name_ = settings.server_name;
  return made;
}

Result<std::unique_ptr<PeerStream>> TlsContext::start(std::unique_ptr<PeerStream> inner, const std::string& host,
                                                      Deadline deadline) const {
  SslPtr ssl(::SSL_new(context_.get()));
  BIO* from_peer = ::BIO_new(::BIO_s_mem());
  BIO* to_peer = ::BIO_new(::BIO_s_mem());
  if (!ssl || from_peer == nullptr || to_peer == nullptr) {
    ::BIO_free(from_peer);
    ::BIO_free(to_peer);
    return tls_failure("TLS: no memory", std::errc::not_enough_memory);
  }
  ::SSL_set_bio(ssl.get(), from_peer, to_peer);
  ::SSL_set_connect_state(ssl.get());
  const std::string& name = server_name_.empty() ? host : server_name_;
  if (!name.empty() && !is_address(name)) {
    if (::SSL_set_tlsext_host_name(ssl.get(), name.c_str()) != 1) { return tls_failure("TLS: server name " + name); }
  }
  if (verify_) {
    if (name.empty()) { return failure("TLS: tls_server_name is needed to verify a UNIX-domain server"); }
    const int set = is_address(name) ? ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl.get()), name.c_str())
                                     : ::SSL_set1_host(ssl.get(), name.c_str());
    if (set != 1) { return tls_failure("TLS: server name " + name); }
  }
  auto stream = std::make_unique<TlsStream>(std::move(inner), std::move(ssl), from_peer, to_peer);
  SP_TRY(stream->shake_hands(deadline));
  return stream;
}

}  // namespace stagepost::maps::redis
