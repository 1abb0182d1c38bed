#include "commands/smtp-source/connector.hpp"

#include <cerrno>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fmt/format.h>

#include "base/unique_fd.hpp"
#include "net/blocking.hpp"
#include "net/event.hpp"
#include "net/socket_stream.hpp"

namespace stagepost::smtp_source {
namespace {

constexpr std::chrono::milliseconds kPauseBetweenAttempts{100};

Result<std::vector<net::Endpoint>> look_up(const Options& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = options.family == Options::Family::ipv4   ? AF_INET
                    : options.family == Options::Family::ipv6 ? AF_INET6
                                                              : AF_UNSPEC;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(options.host.c_str(), options.port.c_str(), &hints, &found);
  if (error != 0) { return failure(fmt::format("{}:{}: {}", options.host, options.port, ::gai_strerror(error))); }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<net::Endpoint> endpoints;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    if (const auto endpoint = net::Endpoint::from_sockaddr(info->ai_addr)) { endpoints.push_back(*endpoint); }
  }
  if (endpoints.empty()) { return failure(fmt::format("{}:{}: no address", options.host, options.port)); }
  return endpoints;
}

// For -T: the window is agreed on while connecting, so the buffers must be set before; a job for the thread pool.
Result<unique_fd> connect_with_window(const net::Endpoint& remote, int window_bytes) {
  sockaddr_storage address{};
  const socklen_t length = remote.to_sockaddr(address);
  unique_fd socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!socket) { return errno_failure("socket"); }
  net::send_at_once(socket.get());
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &window_bytes, sizeof window_bytes);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &window_bytes, sizeof window_bytes);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return errno_failure("connect");
  }
  return socket;
}

}  // namespace

Result<Connector> Connector::create(net::EventLoop& loop, const Options& options) {
  Connector connector(loop);
  connector.unix_path_ = options.unix_path;
  connector.attempts_ = options.connect_attempts;
  connector.window_bytes_ = options.window_bytes;
  if (options.unix_path.empty()) { SP_TRY(connector.endpoints_, look_up(options)); }
  return connector;
}

net::Task<Result<std::unique_ptr<net::Stream>>> Connector::connect_once(Deadline deadline) const {
  if (!unix_path_.empty()) {
    auto stream = co_await net::connect_unix(*loop_, unix_path_, deadline);
    co_return stream;
  }
  Result<std::unique_ptr<net::Stream>> last = failure("connect");
  for (const net::Endpoint& endpoint : endpoints_) {
    if (window_bytes_ > 0) {
      auto socket = co_await net::run_blocking(
          *loop_, [endpoint, window = window_bytes_] { return connect_with_window(endpoint, window); });
      last = socket ? net::make_stream(*loop_, *std::move(socket)) : std::unexpected(socket.error());
    } else {
      auto stream = co_await net::connect_tcp(*loop_, endpoint, std::nullopt, deadline);
      last = std::move(stream);
    }
    if (last) { break; }
  }
  co_return last;
}

net::Task<Result<std::unique_ptr<net::Stream>>> Connector::connect(Deadline deadline) const {
  for (int attempt = 1;; ++attempt) {
    auto stream = co_await connect_once(deadline);
    if (stream || attempt >= attempts_ || !stream.error().is(std::errc::connection_refused)) { co_return stream; }
    const auto slept = co_await net::sleep_until(Deadline::earlier(deadline, within(kPauseBetweenAttempts)));
    if (!slept) { co_return std::unexpected(slept.error()); }
  }
}

}  // namespace stagepost::smtp_source
