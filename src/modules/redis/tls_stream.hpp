// TLS to a Redis server, over any stream, so that deadlines and SIGPIPE are that stream's business.
#pragma once

#include <memory>
#include <string>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "peer_stream.hpp"

typedef struct ssl_ctx_st SSL_CTX;

namespace stagepost::maps::redis {

struct TlsSettings {
  std::string ca_file;  ///< tls_CAfile, tls_CApath; without both, the system's certification authorities
  std::string ca_path;
  std::string cert_file;  ///< the client's certificate and key; empty: none
  std::string key_file;
  bool verify = true;       ///< tls_verify_cert: the chain, and that it is for the server's name
  std::string server_name;  ///< instead of the name in the address
};

/// Made once, when the table is opened, since files may be out of reach later; used on any thread.
class TlsContext {
 public:
  /// Errors: a file that cannot be read or does not fit.
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> create(const TlsSettings& settings);

  /// Shakes hands as a client, TLS 1.2 or later. `host` is what was connected to, name or address; of a UNIX-domain
  /// socket it is empty, and only server_name is compared.
  [[nodiscard]] Result<std::unique_ptr<PeerStream>> start(std::unique_ptr<PeerStream> inner, const std::string& host,
                                                          Deadline deadline) const;

 private:
  TlsContext() = default;
  std::shared_ptr<SSL_CTX> context_;
  bool verify_ = true;
  std::string server_name_;
};

}  // namespace stagepost::maps::redis
