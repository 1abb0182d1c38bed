// See server_connections.hpp.
#include "maps/server_connections.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <netdb.h>
#include <sys/socket.h>
#include <utility>

#include <fmt/format.h>

#include "base/defer.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "net/blocking.hpp"
#include "net/socket_stream.hpp"

namespace stagepost::maps {
namespace {

// More addresses of one name are not tried.
constexpr std::size_t kAddressLimit = 16;

/// Blocks: asks the name service.
Result<std::vector<net::Endpoint>> look_up_addresses(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int problem = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  if (problem != 0) {
    return failure(fmt::format("host or service {}:{} not found: {}", host, port, ::gai_strerror(problem)),
                   std::errc::address_not_available);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  std::vector<net::Endpoint> found;
  for (const addrinfo* entry = list; entry != nullptr && found.size() < kAddressLimit; entry = entry->ai_next) {
    const auto endpoint = net::Endpoint::from_sockaddr(entry->ai_addr);
    if (endpoint && std::ranges::find(found, *endpoint) == found.end()) { found.push_back(*endpoint); }
  }
  if (found.empty()) {
    return failure(fmt::format("host or service {}:{} not found", host, port), std::errc::address_not_available);
  }
  return found;
}

/// The peer closed an idle connection, or sent what nobody asked for.
bool stale(net::BufferedStream& stream) {
  if (!stream.buffered().empty()) { return true; }
  char byte = 0;
  const auto got = ::recv(stream.transport().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

}  // namespace

Result<ServerAddress> ServerAddress::inet(std::string_view host_port) {
  SP_TRY(const net::HostPort parsed, net::HostPort::parse(host_port, net::HostPort::Bare::is_port));
  if (parsed.port.empty()) { return failure(fmt::format("{}: need host:port", printable(host_port))); }
  // "127.0.0.1" is no port, whatever it begins with.
  if (text::is_digit(parsed.port.front()) && !std::ranges::all_of(parsed.port, text::is_digit)) {
    return failure(fmt::format("{}: garbage after numerical service", printable(parsed.port)));
  }
  return ServerAddress{.where = Inet{.host = parsed.host.empty() ? "localhost" : parsed.host, .port = parsed.port},
                       .shown = std::string(host_port)};
}

ServerAddress ServerAddress::unix_socket(std::string path) {
  std::string shown = path;
  return ServerAddress{.where = Unix{std::move(path)}, .shown = std::move(shown)};
}

ServerConnections::Lease::Lease(ServerConnections& owner, std::unique_ptr<net::BufferedStream> stream,
                                SteadyClock::time_point opened, bool reused)
    : owner_(&owner), stream_(std::move(stream)), opened_(opened), reused_(reused) {}

ServerConnections::Lease::Lease(Lease&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)),
      stream_(std::move(other.stream_)),
      opened_(other.opened_),
      reused_(other.reused_) {}

ServerConnections::Lease::~Lease() {
  stream_.reset();
  if (owner_ != nullptr) { owner_->ended(); }
}

void ServerConnections::Lease::release() {
  ServerConnections& owner = *std::exchange(owner_, nullptr);
  owner.idle_.push_back({.stream = std::move(stream_), .opened = opened_, .since = SteadyClock::now()});
  owner.set_timer();
  owner.changed_.notify_all();
}

ServerConnections::ServerConnections(net::EventLoop& loop, ServerAddress address, Limits limits, std::string what,
                                     std::function<void(std::string_view)> warn)
    : loop_(loop),
      address_(std::move(address)),
      limits_(limits),
      what_(std::move(what)),
      warn_(std::move(warn)),
      changed_(loop),
      timer_(loop, [this] {
        drop_expired();
        set_timer();
      }) {}

ServerConnections::~ServerConnections() = default;

void ServerConnections::ended() {
  --open_;
  changed_.notify_all();
}

void ServerConnections::drop_expired() {
  const auto now = SteadyClock::now();
  open_ -= std::erase_if(
      idle_, [&](const Idle& idle) { return now - idle.since >= limits_.idle || now - idle.opened >= limits_.age; });
}

void ServerConnections::set_timer() {
  Deadline next = Deadline::never();
  for (const Idle& idle : idle_) {
    next = Deadline::earlier(next, Deadline(std::min(idle.since + limits_.idle, idle.opened + limits_.age)));
  }
  if (next.is_never()) {
    timer_.clear();
  } else {
    timer_.set(next);
  }
}

net::Task<Result<std::vector<net::Endpoint>>> ServerConnections::addresses() {
  const auto& inet = std::get<ServerAddress::Inet>(address_.where);
  const auto number = net::IpAddress::parse(inet.host);
  const auto port_number = net::resolve_port(inet.port);
  if (number && port_number) {
    std::vector<net::Endpoint> one{net::Endpoint{*number, *port_number}};
    co_return one;
  }
  auto job = [host = inet.host, port = inet.port] { return look_up_addresses(host, port); };
  auto found = co_await net::run_blocking(loop_, std::move(job));
  co_return found;
}

net::Task<Result<std::unique_ptr<net::Stream>>> ServerConnections::connect(Deadline deadline) {
  if (const auto* local = std::get_if<ServerAddress::Unix>(&address_.where)) {
    auto stream = co_await net::connect_unix(loop_, local->path, deadline);
    if (!stream) { co_return std::unexpected(Error{stream.error().code, ""}); }
    co_return stream;
  }
  const auto found = co_await addresses();
  if (!found) {
    warn_(found.error().context);
    co_return std::unexpected(Error{found.error().code, ""});
  }
  Error last;
  for (const net::Endpoint& endpoint : *found) {
    auto stream = co_await net::connect_tcp(loop_, endpoint, std::nullopt, deadline);
    if (stream) { co_return stream; }
    last = Error{stream.error().code, ""};
    if (last.is(std::errc::timed_out) || last.is(std::errc::operation_canceled)) { break; }
  }
  co_return std::unexpected(std::move(last));
}

net::Task<Result<ServerConnections::Lease>> ServerConnections::acquire(Deadline deadline) {
  drop_expired();
  std::size_t failures_seen = failures_;
  for (;;) {
    while (!idle_.empty()) {
      Idle idle = std::move(idle_.back());
      idle_.pop_back();
      if (!stale(*idle.stream)) { co_return Lease(*this, std::move(idle.stream), idle.opened, true); }
      --open_;
    }
    if (failures_ != failures_seen) { co_return std::unexpected(last_failure_); }
    if (!connecting_ && open_ < limits_.connections) { break; }
    if (waiting_ >= limits_.waiting) {
      co_return failure(fmt::format("{} lookups are waiting for the server", waiting_),
                        std::errc::resource_unavailable_try_again);
    }
    ++waiting_;
    const Defer no_longer([this] { --waiting_; });
    const auto woken = co_await changed_.wait(deadline);
    if (!woken) { co_return std::unexpected(woken.error()); }
  }
  connecting_ = true;
  ++open_;
  bool connected = false;
  const Defer done([this, &connected] {
    connecting_ = false;
    if (!connected) { --open_; }
    changed_.notify_all();
  });
  const Deadline end = Deadline::earlier(deadline, within(limits_.attempt));
  auto stream = co_await connect(end);
  if (!stream) {
    if (!stream.error().is(std::errc::operation_canceled)) {
      ++failures_;
      last_failure_ = stream.error();
      warn_(fmt::format("{}{}: {}", what_, address_.shown, stream.error().message()));
    }
    co_return std::unexpected(std::move(stream).error());
  }
  connected = true;
  co_return Lease(*this, std::make_unique<net::BufferedStream>(*std::move(stream)), SteadyClock::now(), false);
}

}  // namespace stagepost::maps
