// See peer_stream.hpp.
#include "peer_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"

namespace stagepost::maps {
namespace {

std::unexpected<Error> bad_address(std::string_view text) {
  return failure(
      fmt::format("bad server address: \"{}\"; expected \"inet:host:port\" or \"unix:/path\"", printable(text)));
}

/// "host:port", "[address]:port"; without a port the default, when there is one.
Result<PeerAddress> parse_host_and_port(std::string_view text, std::string_view rest, std::string_view default_port) {
  PeerAddress peer;
  std::string_view port = default_port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) { return bad_address(text); }
    peer.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && !rest.starts_with(':')) { return bad_address(text); }
    if (!rest.empty()) { port = rest.substr(1); }
  } else {
    const std::size_t colon = rest.rfind(':');
    peer.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) { port = rest.substr(colon + 1); }
    if (peer.host.contains(':')) { return bad_address(text); }
  }
  if (peer.host.empty() || port.empty() || peer.host.contains('\0') || port.contains('\0')) {
    return bad_address(text);
  }
  peer.port = port;
  return peer;
}

Result<unique_fd> connect_socket(int family, const sockaddr* address, socklen_t length, const std::string& name,
                                 Deadline deadline) {
  unique_fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) { return errno_failure("create a socket"); }
  int error = 0;
  if (::connect(fd.get(), address, length) != 0) {
    // A UNIX-domain socket whose queue is full says EAGAIN and does not become writable: that is a failure.
    if (errno != EINPROGRESS) { return errno_failure("connect to " + name); }
    if (auto waited = wait_for_peer(fd.get(), PeerWait::writable, deadline); !waited) {
      return std::unexpected(std::move(waited).error().within("connect to " + name));
    }
    socklen_t size = sizeof error;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) { return errno_failure("getsockopt"); }
    if (error != 0) { return errno_failure(error, "connect to " + name); }
  }
  const int on = 1;
  if (family != AF_UNIX) { (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); }
  return fd;
}

class PlainStream final : public PeerStream {
 public:
  explicit PlainStream(unique_fd socket) : socket_(std::move(socket)) {}

  Result<> write(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        SP_TRY(wait_for_peer(socket_.get(), PeerWait::writable, deadline));
      } else if (errno != EINTR) {
        return errno_failure("write");
      }
    }
    return {};
  }

  Result<std::size_t> read(std::span<char> buffer, Deadline deadline) override {
    for (;;) {
      const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (got > 0) { return static_cast<std::size_t>(got); }
      if (got == 0) { return failure("server closed the connection", std::errc::connection_reset); }
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        SP_TRY(wait_for_peer(socket_.get(), PeerWait::readable, deadline));
      } else if (errno != EINTR) {
        return errno_failure("read");
      }
    }
  }

 private:
  unique_fd socket_;
};

}  // namespace

std::string PeerAddress::text() const {
  if (local) { return "unix:" + host; }
  return host.contains(':') ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<PeerAddress> parse_peer(std::string_view text, std::string_view default_port) {
  if (text.starts_with("unix:")) {
    PeerAddress peer{.local = true, .host = std::string(text.substr(5)), .port = {}};
    if (peer.host.empty() || peer.host.contains('\0') || peer.host.size() >= sizeof(sockaddr_un::sun_path)) {
      return bad_address(text);
    }
    return peer;
  }
  if (text.starts_with("inet:")) { return parse_host_and_port(text, text.substr(5), default_port); }
  if (default_port.empty()) { return bad_address(text); }
  return parse_host_and_port(text, text, default_port);
}

Result<unique_fd> connect_peer(const PeerAddress& peer, Deadline deadline) {
  if (peer.local) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (peer.host.size() >= sizeof address.sun_path) { return bad_address(peer.text()); }
    std::memcpy(address.sun_path, peer.host.data(), peer.host.size());
    return connect_socket(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, peer.text(), deadline);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int code = ::getaddrinfo(peer.host.c_str(), peer.port.c_str(), &hints, &list); code != 0) {
    return failure(fmt::format("address of {}: {}", printable(peer.text()), ::gai_strerror(code)),
                   std::errc::host_unreachable);
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  Result<unique_fd> fd = failure("connect to " + peer.text() + ": no address", std::errc::host_unreachable);
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    fd = connect_socket(entry->ai_family, entry->ai_addr, entry->ai_addrlen, peer.text(), deadline);
    if (fd) { break; }
  }
  return fd;
}

Result<> wait_for_peer(int fd, PeerWait what, Deadline deadline) {
  for (;;) {
    int wait_ms = -1;
    if (!deadline.is_never()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.at() - SteadyClock::now()).count();
      wait_ms = static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left, 0, 3'600'000));
    }
    pollfd entry{.fd = fd, .events = static_cast<short>(what == PeerWait::readable ? POLLIN : POLLOUT), .revents = 0};
    const int ready = ::poll(&entry, 1, wait_ms);
    if (ready > 0) { return {}; }
    if (ready == 0 && deadline.passed()) { return failure("no answer in time", std::errc::timed_out); }
    if (ready < 0 && errno != EINTR) { return errno_failure("poll"); }
  }
}

std::unique_ptr<PeerStream> plain_stream(unique_fd socket) { return std::make_unique<PlainStream>(std::move(socket)); }

}  // namespace stagepost::maps
