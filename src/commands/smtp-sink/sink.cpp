#include "commands/smtp-sink/sink.hpp"

#include <csignal>
#include <cstdio>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/descriptor_limit.hpp"
#include "base/sys.hpp"
#include "commands/smtp-sink/session.hpp"
#include "log/log.hpp"
#include "net/event.hpp"
#include "net/socket_stream.hpp"
#include "net/task_group.hpp"

namespace stagepost::smtp_sink {
namespace {

int fatal(std::string_view text) {
  std::fflush(stdout);
  fmt::print(stderr, "smtp-sink: fatal: {}\n", text);
  return 1;
}

Result<unique_fd> listen_at(const addrinfo& info, const Options& options) {
  unique_fd socket(::socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) { return errno_failure("socket"); }
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // With a socket for each family the IPv6 one must leave IPv4 to the other.
  if (info.ai_family == AF_INET6) { ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on); }
  if (options.window_bytes > 0) {
    // Accepted sockets inherit it, in time for the window that is announced while connecting.
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &options.window_bytes, sizeof options.window_bytes);
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &options.window_bytes, sizeof options.window_bytes);
  }
  if (::bind(socket.get(), info.ai_addr, info.ai_addrlen) != 0) {
    return errno_failure(fmt::format("bind {}:{}", options.host, options.port));
  }
  if (::listen(socket.get(), options.backlog) != 0) { return errno_failure("listen"); }
  return socket;
}

Result<std::vector<unique_fd>> listen_tcp(const Options& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  hints.ai_family = options.family == Options::Family::ipv4   ? AF_INET
                    : options.family == Options::Family::ipv6 ? AF_INET6
                                                              : AF_UNSPEC;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(options.host.empty() ? nullptr : options.host.c_str(), options.port.c_str(), &hints, &found);
  if (error != 0) { return failure(fmt::format("{}:{}: {}", options.host, options.port, ::gai_strerror(error))); }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<unique_fd> sockets;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    auto socket = listen_at(*info, options);
    // A machine without IPv6 may still list the address.
    if (!socket && socket.error().is(std::errc::address_family_not_supported)) { continue; }
    if (!socket) { return std::unexpected(socket.error()); }
    sockets.push_back(*std::move(socket));
  }
  if (sockets.empty()) { return failure(fmt::format("{}:{}: no address to listen on", options.host, options.port)); }
  return sockets;
}

Result<std::vector<unique_fd>> listen_unix(const Options& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options.unix_path.size() >= sizeof address.sun_path) {
    return failure("pathname too long: " + options.unix_path);
  }
  options.unix_path.copy(address.sun_path, options.unix_path.size());
  // A socket that an earlier run left is replaced; any other file is not.
  if (const auto there = sys::lstat(options.unix_path); there && S_ISSOCK(there->st_mode)) {
    SP_TRY(sys::unlink(options.unix_path));
  }
  unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) { return errno_failure("socket"); }
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_failure("bind " + options.unix_path);
  }
  if (::chmod(options.unix_path.c_str(), 0666) != 0) { return errno_failure("chmod " + options.unix_path); }
  if (::listen(socket.get(), options.backlog) != 0) { return errno_failure("listen"); }
  std::vector<unique_fd> sockets;
  sockets.push_back(std::move(socket));
  return sockets;
}

// Root directory and user, in this order, after the sockets are open.
Result<> drop_privileges(const Options& options) {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
  if (!options.user.empty()) {
    const passwd* account = ::getpwnam(options.user.c_str());
    if (account == nullptr) { return failure(fmt::format("unknown user: {}", options.user)); }
    uid = account->pw_uid;
    gid = account->pw_gid;
    if (::initgroups(options.user.c_str(), gid) != 0) { return errno_failure("initgroups " + options.user); }
  }
  if (!options.root.empty() && (::chroot(options.root.c_str()) != 0 || ::chdir("/") != 0)) {
    return errno_failure("chroot " + options.root);
  }
  if (!options.user.empty() && (::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0)) {
    return errno_failure("become " + options.user);
  }
  return {};
}

// Accepts on all sockets until told to end. Lives until every session has.
class Server {
 public:
  Server(net::EventLoop& loop, const Options& options)
      : loop_(loop),
        options_(options),
        tally_(options, [this] { loop_.post([this] { end(); }); }),
        ended_(loop),
        acceptors_(loop, "smtp-sink", 64),
        sessions_(loop, "smtp-sink session", static_cast<std::size_t>(options.connections)) {}

  [[nodiscard]] Result<> listen(std::vector<unique_fd> sockets) {
    for (unique_fd& socket : sockets) {
      SP_TRY(auto listener, net::Listener::create(loop_, std::move(socket)));
      listeners_.push_back(std::move(listener));
    }
    return {};
  }

  net::Task<> run() {
    for (net::Listener& listener : listeners_) { acceptors_.spawn(accept(listener)); }
    if (options_.report_interval.count() > 0) { acceptors_.spawn(report_regularly()); }
    if (options_.counters) { acceptors_.spawn(show_counters()); }
    while (!ending_) {
      const auto woken = co_await ended_.wait(Deadline::never());
      if (!woken) { break; }
    }
    acceptors_.cancel();
    sessions_.cancel();
    co_await acceptors_.join();
    co_await sessions_.join();
  }

  void end() {
    ending_ = true;
    ended_.notify_all();
  }
  [[nodiscard]] Tally& tally() { return tally_; }

 private:
  net::Task<> accept(net::Listener& listener) {
    for (;;) {
      // Further clients wait in the system's queue.
      co_await sessions_.room();
      const bool stop = co_await net::cancelled();
      if (stop) { co_return; }
      auto connection = co_await listener.accept();
      if (!connection) {
        if (connection.error().is(std::errc::operation_canceled)) { co_return; }
        fmt::print(stderr, "smtp-sink: warning: {}\n", connection.error().message());
        const auto slept = co_await net::sleep_until(within(std::chrono::milliseconds(100)));
        if (!slept) { co_return; }
        continue;
      }
      if (sessions_.full()) { co_await sessions_.room(); }
      const bool ending = co_await net::cancelled();
      if (ending) { co_return; }
      sessions_.spawn(serve(*std::move(connection)));
    }
  }

  net::Task<> serve(net::AcceptedConnection connection) {
    Capture::Client client{.address = "unix"};
    if (connection.peer) {
      client.address = connection.peer->address.text();
      client.ipv6 = connection.peer->address.family() == net::Family::ipv6;
    }
    Session session(options_, tally_, std::move(connection.stream), std::move(client));
    co_await session.run();
  }

  net::Task<> report_regularly() {
    for (;;) {
      const auto slept = co_await net::sleep_until(within(options_.report_interval));
      if (!slept) { co_return; }
      fmt::print("{}\n", tally_.report());
      std::fflush(stdout);
    }
  }

  // Not with each event: a system call for each would cost more than what is measured.
  net::Task<> show_counters() {
    std::string shown;
    for (;;) {
      const auto slept = co_await net::sleep_until(within(std::chrono::milliseconds(20)));
      if (auto now = tally_.counters(); now != shown) {
        fmt::print("{}\r", now);
        std::fflush(stdout);
        shown = std::move(now);
      }
      if (!slept) { co_return; }
    }
  }

  net::EventLoop& loop_;
  const Options& options_;
  Tally tally_;
  std::vector<net::Listener> listeners_;
  net::Event ended_;
  bool ending_ = false;
  net::TaskGroup acceptors_;
  net::TaskGroup sessions_;
};

bool logs_commands(const Options& options) {
  for (const Behaviour& behaviour : options.behaviours) {
    if (behaviour.log) { return true; }
  }
  return false;
}

}  // namespace

int run(int argc, char** argv) {
  const auto options = parse_options(argc, argv);
  if (!options) { return fatal(options.error().message()); }
  if (::geteuid() == 0 && options->user.empty()) { return fatal("-u option is required if running as root"); }
  sys::raise_descriptor_limit();
  if (logs_commands(*options)) {
    log::Settings settings;
    settings.program_name = "smtp-sink";
    settings.destination = log::Destination::syslog;
    log::open(settings);
  }
  auto sockets = options->unix_path.empty() ? listen_tcp(*options) : listen_unix(*options);
  if (!sockets) { return fatal(sockets.error().message()); }
  if (const auto dropped = drop_privileges(*options); !dropped) { return fatal(dropped.error().message()); }
  net::EventLoop loop;
  Server server(loop, *options);
  if (const auto listening = server.listen(*std::move(sockets)); !listening) {
    return fatal(listening.error().message());
  }
  for (const int number : {SIGINT, SIGTERM}) {
    loop.on_signal(number, [&server] { server.end(); });
  }
  loop.on_signal(SIGUSR1, [&server] { server.tally().lift_limit(); });
  loop.run_task(server.run());
  if (options->counters) { fmt::print("{}\n", server.tally().counters()); }
  if (options->report) { fmt::print("{}\n", server.tally().report()); }
  std::fflush(stdout);
  return 0;
}

}  // namespace stagepost::smtp_sink
