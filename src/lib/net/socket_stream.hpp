// Streams over connected sockets (TCP and UNIX), and ways to get one.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/unique_fd.hpp"
#include "net/endpoint.hpp"
#include "net/event_loop.hpp"
#include "net/stream.hpp"

namespace stagepost::net {

/// Takes over a connected stream socket; it becomes non-blocking.
[[nodiscard]] Result<std::unique_ptr<Stream>> make_stream(EventLoop& loop, unique_fd socket);

/// The same for one that is non-blocking already.
[[nodiscard]] std::unique_ptr<Stream> adopt_stream(EventLoop& loop, unique_fd socket);

/// Small writes leave at once instead of waiting until the peer has acknowledged the one before (Nagle's algorithm,
/// which costs 40 ms wherever two writes follow each other). Nothing happens to a socket that is not TCP.
void send_at_once(int socket);

/// Connects to a UNIX-domain stream socket.
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> connect_unix(EventLoop& loop, std::string path, Deadline deadline);
/// Connects by TCP, from `local` when given (smtp_bind_address).
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> connect_tcp(EventLoop& loop, Endpoint remote,
                                                                std::optional<IpAddress> local, Deadline deadline);

struct AcceptedConnection {
  std::unique_ptr<Stream> stream;
  std::optional<Endpoint> peer;   ///< nullopt for UNIX-domain sockets
  std::optional<Endpoint> local;  ///< the address the client connected to
  std::size_t listener = 0;       ///< index of the listener it came in by, set by who owns several
};

/// A listening socket, usually inherited from master.
class Listener {
 public:
  /// Takes over a bound, listening socket; it becomes non-blocking.
  [[nodiscard]] static Result<Listener> create(EventLoop& loop, unique_fd socket);
  ~Listener();
  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;

  /// Next connection. Per-connection failures (ECONNABORTED) are skipped; EMFILE and the like are returned.
  [[nodiscard]] Task<Result<AcceptedConnection>> accept();
  /// Fails a pending accept with operation_canceled.
  void cancel();
  [[nodiscard]] int native_handle() const;

 private:
  struct Impl;
  explicit Listener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Tells when a descriptor that stays the caller's (listener, pipe, FIFO, datagram or status socket) is readable. Holds
/// a duplicate in the reactor as long as it lives, so waiting again and again costs one registration.
class Readiness {
 public:
  Readiness(EventLoop& loop, int fd);
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  /// One waiter at a time. Failures: those of Stream, and what duplicating the descriptor said.
  [[nodiscard]] Task<Result<>> wait(Deadline deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stagepost::net
