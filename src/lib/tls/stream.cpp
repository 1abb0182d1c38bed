// TLS over another stream: OpenSSL reads and writes two strings through a BIO of ours, the lower stream fills and
// drains them. One flush carries all records of a write, so that small records never wait for each other's ACK.
#include <algorithm>
#include <cerrno>
#include <sys/socket.h>

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "log/log.hpp"
#include "net/error.hpp"
#include "net/event.hpp"
#include "tls/context.hpp"
#include "tls/openssl.hpp"

namespace stagepost::tls {
namespace {

constexpr std::size_t kReadBytes = 32 * 1024;
constexpr std::size_t kWriteBytes = 64 * 1024;
constexpr std::size_t kRecordBytes = 16 * 1024;

/// What is between OpenSSL and the lower stream.
struct Buffers {
  std::string in;
  std::size_t in_start = 0;
  std::string out;
};

int bio_read(BIO* bio, char* target, int size) {
  auto& buffers = *static_cast<Buffers*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const std::size_t available = buffers.in.size() - buffers.in_start;
  if (available == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t count = std::min(available, static_cast<std::size_t>(std::max(size, 0)));
  buffers.in.copy(target, count, buffers.in_start);
  buffers.in_start += count;
  if (buffers.in_start == buffers.in.size()) {
    buffers.in.clear();
    buffers.in_start = 0;
  }
  return static_cast<int>(count);
}

int bio_write(BIO* bio, const char* bytes, int size) {
  auto& buffers = *static_cast<Buffers*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (size > 0) { buffers.out.append(bytes, static_cast<std::size_t>(size)); }
  return size;
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* bio_method() {
  static const std::unique_ptr<BIO_METHOD, Release<BIO_meth_free>> method = [] {
    std::unique_ptr<BIO_METHOD, Release<BIO_meth_free>> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stagepost"));
    BIO_meth_set_read(made.get(), &bio_read);
    BIO_meth_set_write(made.get(), &bio_write);
    BIO_meth_set_ctrl(made.get(), &bio_control);
    return made;
  }();
  return method.get();
}

class TlsStream final : public net::Stream {
 public:
  TlsStream(SslPtr ssl, std::unique_ptr<net::Stream> lower) : lower_(std::move(lower)), ssl_(std::move(ssl)) {
    BIO* const bio = BIO_new(bio_method());
    SP_ASSERT(bio != nullptr);
    BIO_set_data(bio, &buffers_);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
  }
  ~TlsStream() override { close(); }
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }

  net::Task<Result<>> handshake(Deadline deadline) {
    for (;;) {
      ERR_clear_error();
      const int status = SSL_do_handshake(ssl_.get());
      const int reason = SSL_get_error(ssl_.get(), status);
      const auto flushed = co_await flush(deadline);
      if (status == 1) {
        // A peer may have sent everything and left before it could take our session ticket: what it sent counts.
        if (!flushed && flushed.error().is(std::errc::timed_out)) { co_return flushed; }
        established_ = true;
        co_return Result<>{};
      }
      // A failed handshake is told before a failed write: the alert may be what could not be sent.
      if (reason != SSL_ERROR_WANT_READ) { co_return broken(); }
      if (!flushed) { co_return flushed; }
      const auto more = co_await fill(deadline);
      if (!more) { co_return std::unexpected(more.error()); }
      if (*more == 0) { co_return std::unexpected(Error{net::Errc::end_of_stream, "TLS handshake"}); }
    }
  }

  net::Task<Result<std::size_t>> read_some(std::span<char> buffer, Deadline deadline) override {
    if (buffer.empty()) { co_return std::size_t{0}; }
    for (;;) {
      ERR_clear_error();
      std::size_t count = 0;
      const int status = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &count);
      const int reason = status == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), status);
      // Reading can produce output: answers to key updates, alerts. If that can't be sent, the next write says so.
      if (!buffers_.out.empty()) { [[maybe_unused]] const auto flushed = co_await flush(deadline); }
      if (status == 1) { co_return count; }
      if (reason == SSL_ERROR_ZERO_RETURN) { co_return std::size_t{0}; }
      if (reason != SSL_ERROR_WANT_READ) { co_return std::unexpected(broken().error()); }
      const auto more = co_await fill(deadline);
      if (!more) { co_return std::unexpected(more.error()); }
      // The peer went away without close_notify. The protocols above have ends of their own.
      if (*more == 0) { co_return std::size_t{0}; }
    }
  }

  net::Task<Result<std::size_t>> append_some(std::string& target, std::size_t limit_bytes, Deadline deadline) override {
    // The wait is for ciphertext; a buffer for plaintext exists only after something came.
    if (SSL_pending(ssl_.get()) == 0 && buffers_.in.empty()) {
      const auto more = co_await fill(deadline);
      if (!more) { co_return std::unexpected(more.error()); }
      if (*more == 0) { co_return std::size_t{0}; }
    }
    const std::size_t before = target.size();
    const std::size_t wanted = std::min(limit_bytes, kRecordBytes);
    target.resize(before + wanted);
    const auto read = co_await read_some(std::span<char>(target.data() + before, wanted), deadline);
    target.resize(before + read.value_or(0));
    co_return read;
  }

  net::Task<Result<>> write_all(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      while (!bytes.empty() && buffers_.out.size() < kWriteBytes) {
        ERR_clear_error();
        std::size_t count = 0;
        const auto piece = bytes.substr(0, kRecordBytes);
        if (SSL_write_ex(ssl_.get(), piece.data(), piece.size(), &count) != 1) { co_return broken(); }
        bytes.remove_prefix(count);
      }
      auto flushed = co_await flush(deadline);
      if (!flushed) { co_return flushed; }
      // The reader is sending: our records follow in its wake, and this write ends when they are out.
      while (sending_ && !bytes.empty()) {
        if (deadline.passed()) { co_return failure("write", std::errc::timed_out); }
        const auto slept = co_await net::sleep_until(within(std::chrono::milliseconds(1)));
        if (!slept) { co_return std::unexpected(slept.error()); }
      }
    }
    co_return Result<>{};
  }

  void cancel() override { lower_->cancel(); }

  void close() override {
    if (closed_) { return; }
    closed_ = true;
    // close_notify as a courtesy: one try that never waits (tls_fast_shutdown_enable).
    const int fd = lower_->native_handle();
    if (established_ && !broken_ && !sending_ && fd >= 0) {
      ERR_clear_error();
      SSL_shutdown(ssl_.get());
      [[maybe_unused]] const auto sent =
          ::send(fd, buffers_.out.data(), buffers_.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      ERR_clear_error();
    }
    lower_->close();
  }

  [[nodiscard]] int native_handle() const override { return lower_->native_handle(); }

 private:
  net::Task<Result<std::size_t>> fill(Deadline deadline) {
    if (buffers_.in.empty() && buffers_.in.capacity() > kRecordBytes) { std::string().swap(buffers_.in); }
    auto count = co_await lower_->append_some(buffers_.in, kReadBytes, deadline);
    co_return count;
  }

  /// Sends what OpenSSL has produced. When the other direction is sending already, it takes ours along.
  net::Task<Result<>> flush(Deadline deadline) {
    if (sending_) { co_return Result<>{}; }
    while (!buffers_.out.empty()) {
      sending_ = true;
      const std::string records = std::exchange(buffers_.out, {});
      auto sent = co_await lower_->write_all(records, deadline);
      sending_ = false;
      if (!sent) {
        broken_ = true;
        co_return sent;
      }
    }
    co_return Result<>{};
  }

  [[nodiscard]] std::unexpected<Error> broken() {
    broken_ = true;
    std::string text = take_library_errors();
    return std::unexpected(Error{std::make_error_code(std::errc::protocol_error), std::move(text)});
  }

  std::unique_ptr<net::Stream> lower_;
  Buffers buffers_;  // outlives ssl_, whose BIO points to it
  SslPtr ssl_;
  bool established_ = false;
  bool broken_ = false;
  bool sending_ = false;
  bool closed_ = false;
};

void log_failure(Role role, std::string_view peer, const Error& error) {
  const char* call = role == Role::server ? "SSL_accept error from" : "SSL_connect error to";
  if (error.code == net::Errc::end_of_stream) {
    log::info("{} {}: lost connection", call, peer);
  } else if (error.code == std::errc::timed_out) {
    log::info("{} {}: Connection timed out", call, peer);
  } else if (error.code == std::errc::protocol_error) {
    log::info("{} {}: -1", call, peer);
    for (const auto line : text::split(error.context, "\n")) { log::warning("TLS library problem: {}", line); }
  } else {
    log::info("{} {}: {}", call, peer, error.code.message());
  }
}

void log_established(Role role, std::string_view peer, const SessionInfo& session, int loglevel) {
  if (loglevel < 1) { return; }
  if (session.peer_certificate && (role == Role::server || loglevel >= 2)) {
    log::info("{}: {}subject_CN={}, issuer_CN={}, fingerprint={}, pkey_fingerprint={}", peer,
              session.trust == Trust::untrusted ? "" : "Trusted: ", session.peer_cn, session.issuer_cn,
              session.certificate_fingerprint, session.public_key_fingerprint);
  }
  log::info("{}", established_line(role, peer, session));
}

net::Task<Result<Established>> establish(Role role, SslPtr ssl, std::unique_ptr<net::Stream> lower, std::string peer,
                                         const Credentials& credentials, Deadline deadline) {
  auto stream = std::make_unique<TlsStream>(std::move(ssl), std::move(lower));
  if (credentials.loglevel >= 2) {
    log::info("setting up TLS connection {} {}", role == Role::server ? "from" : "to", peer);
  }
  const auto done = co_await stream->handshake(deadline);
  if (!done) {
    log_failure(role, peer, done.error());
    stream->close();
    co_return std::unexpected(done.error());
  }
  SessionInfo session = session_info(stream->ssl(), role, credentials.fingerprint_digest);
  session.certificate_requested = role == Role::server && (SSL_get_verify_mode(stream->ssl()) & SSL_VERIFY_PEER) != 0;
  log_established(role, peer, session, credentials.loglevel);
  co_return Established{std::move(stream), std::move(session)};
}

}  // namespace

net::Task<Result<Established>> accept(std::shared_ptr<const ServerContext> context, std::unique_ptr<net::Stream> lower,
                                      std::string peer, Deadline deadline) {
  SslPtr ssl(SSL_new(context->native()));
  if (!ssl) { co_return failure("TLS session: " + take_library_errors(), std::errc::not_enough_memory); }
  SSL_set_accept_state(ssl.get());
  auto result = co_await establish(Role::server, std::move(ssl), std::move(lower), std::move(peer),
                                   context->settings().credentials, deadline);
  co_return result;
}

net::Task<Result<Established>> connect(std::shared_ptr<const ClientContext> context, const ClientPolicy& policy,
                                       std::unique_ptr<net::Stream> lower, std::string peer, std::string server_name,
                                       Deadline deadline) {
  SslPtr ssl(SSL_new(context->native()));
  if (!ssl) { co_return failure("TLS session: " + take_library_errors(), std::errc::not_enough_memory); }
  SSL_set_connect_state(ssl.get());
  SSL_set_options(ssl.get(), policy.protocols.excluded);
  const bool usable = SSL_set_min_proto_version(ssl.get(), policy.protocols.minimum) == 1 &&
                      SSL_set_max_proto_version(ssl.get(), policy.protocols.maximum) == 1 &&
                      (policy.ciphers.empty() || SSL_set_cipher_list(ssl.get(), policy.ciphers.c_str()) == 1) &&
                      (server_name.empty() || SSL_set_tlsext_host_name(ssl.get(), server_name.c_str()) == 1);
  if (!usable) {
    lower->close();
    co_return failure("TLS settings: " + take_library_errors(), std::errc::protocol_error);
  }
  auto result = co_await establish(Role::client, std::move(ssl), std::move(lower), std::move(peer),
                                   context->credentials(), deadline);
  co_return result;
}

}  // namespace stagepost::tls
