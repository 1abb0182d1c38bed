// Connections of table clients that speak their protocol themselves (memcache, redis): blocking, but each call ends at
// its deadline. Used on the threads of a BlockingTable, so nothing here knows an event loop.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace stagepost::maps {

/// Where a server listens.
struct PeerAddress {
  bool local = false;  ///< a UNIX-domain socket
  std::string host;    ///< name or address, without brackets; the path of a UNIX-domain socket
  std::string port;    ///< number or name of a service

  /// "host:port", "[2001:db8::1]:port" or "unix:/path".
  [[nodiscard]] std::string text() const;
  bool operator==(const PeerAddress&) const = default;
};

/// "inet:host:port", "unix:/path". With `default_port` also "host:port" and "host"; IPv6 addresses stand in brackets
/// in any case.
[[nodiscard]] Result<PeerAddress> parse_peer(std::string_view text, std::string_view default_port = {});

/// Tries each address of a host. The look-up of its name has the resolver's time limits, not `deadline`. Errors:
/// "connect to host:port: Connection refused".
[[nodiscard]] Result<unique_fd> connect_peer(const PeerAddress& peer, Deadline deadline);

/// Waits until the socket can be read or written. Error: timed_out.
enum class PeerWait { readable, writable };
[[nodiscard]] Result<> wait_for_peer(int fd, PeerWait what, Deadline deadline);

/// A byte stream to a server.
class PeerStream {
 public:
  PeerStream() = default;
  PeerStream(const PeerStream&) = delete;
  PeerStream& operator=(const PeerStream&) = delete;
  virtual ~PeerStream() = default;

  /// All of `bytes`. Errors: timed_out, the socket's.
  [[nodiscard]] virtual Result<> write(std::string_view bytes, Deadline deadline) = 0;
  /// At least one byte. Errors: timed_out, connection_reset also when the peer closed in the regular way.
  [[nodiscard]] virtual Result<std::size_t> read(std::span<char> buffer, Deadline deadline) = 0;
};

/// Takes a socket of connect_peer().
[[nodiscard]] std::unique_ptr<PeerStream> plain_stream(unique_fd socket);

}  // namespace stagepost::maps
