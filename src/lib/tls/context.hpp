// OpenSSL contexts: what a process needs to speak TLS as a server or as a client, made once from configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "net/stream.hpp"
#include "net/task.hpp"
#include "tls/policy.hpp"
#include "tls/session_info.hpp"

struct ssl_ctx_st;

namespace stagepost::config {
class Snapshot;
}

namespace stagepost::tls {

/// Certificates, keys and trust, from the parameters of the same name with their prefix.
struct Credentials {
  /// cert_file/key_file pairs (RSA, DSA, ECDSA); an empty key name means the key is in the certificate file.
  std::string cert_file, key_file;
  std::string dcert_file, dkey_file;
  std::string eccert_file, eckey_file;
  /// PEM files with key, certificate and chain, in this order; replaces the pairs when not empty.
  std::vector<std::string> chain_files;
  std::string ca_file, ca_path;
  bool append_default_ca = false;  ///< tls_append_default_CA
  std::string fingerprint_digest = "sha256";
  int verify_depth = 9;
  std::string curves;  ///< tls_eecdh_auto_curves, separated by spaces
  int loglevel = 0;
};

struct ServerSettings {
  Credentials credentials;
  Level level = Level::none;
  ProtocolRange protocols;
  std::string ciphers;
  bool ask_certificate = false;
  bool require_certificate = false;
  bool preempt_cipherlist = false;
  std::chrono::seconds session_lifetime{3600};
  bool session_tickets = true;

  /// From smtpd_tls_*. Error: a value that is not understood, named.
  [[nodiscard]] static Result<ServerSettings> from(const config::Snapshot& config);
};

/// A TLS session that stands.
struct Established {
  std::unique_ptr<net::Stream> stream;
  SessionInfo session;
};

/// Shared by all sessions of a process; sessions may outlive it.
class ServerContext {
 public:
  /// Reads certificates and keys: call it while they are readable (before privileges are dropped). Error: unreadable or
  /// mismatched files, ciphers or protocols that OpenSSL refuses; smtpd then offers no TLS.
  [[nodiscard]] static Result<std::shared_ptr<const ServerContext>> create(ServerSettings settings);
  ~ServerContext();

  [[nodiscard]] const ServerSettings& settings() const { return settings_; }
  [[nodiscard]] ssl_ctx_st* native() const { return context_; }

 private:
  ServerContext(ServerSettings settings, ssl_ctx_st* context);
  ServerSettings settings_;
  ssl_ctx_st* context_;
};

class ClientContext {
 public:
  [[nodiscard]] static Result<std::shared_ptr<const ClientContext>> create(Credentials credentials);
  /// `prefix` is "smtp" or "lmtp".
  [[nodiscard]] static Result<std::shared_ptr<const ClientContext>> from(const config::Snapshot& config,
                                                                         std::string_view prefix);
  ~ClientContext();

  [[nodiscard]] const Credentials& credentials() const { return credentials_; }
  [[nodiscard]] ssl_ctx_st* native() const { return context_; }

 private:
  ClientContext(Credentials credentials, ssl_ctx_st* context);
  Credentials credentials_;
  ssl_ctx_st* context_;
};

/// Server side of a handshake over `lower` (BufferedStream::release_transport). `peer` is "host[addr]" for log lines:
/// "SSL_accept error from ...", "TLS library problem: ..." and, by loglevel, the established line are written here.
/// Error: timed_out, end_of_stream, or std::errc::protocol_error for what OpenSSL refused; `lower` is closed then.
[[nodiscard]] net::Task<Result<Established>> accept(std::shared_ptr<const ServerContext> context,
                                                    std::unique_ptr<net::Stream> lower, std::string peer,
                                                    Deadline deadline);
/// Client side; `peer` is "host[addr]:25", `server_name` goes into SNI when not empty. At the levels that need it the
/// certificate is checked by the caller from SessionInfo.
[[nodiscard]] net::Task<Result<Established>> connect(std::shared_ptr<const ClientContext> context,
                                                     const ClientPolicy& policy, std::unique_ptr<net::Stream> lower,
                                                     std::string peer, std::string server_name, Deadline deadline);

}  // namespace stagepost::tls
