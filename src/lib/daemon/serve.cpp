// Accepting: clients, triggers and datagrams on the inherited descriptors, within the gate's limits.
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <span>
#include <sys/socket.h>
#include <unistd.h>

#include "base/defer.hpp"
#include "base/sys.hpp"
#include "daemon/context_impl.hpp"
#include "log/log.hpp"

namespace stagepost::daemon {

namespace {

/// A pass client sends its descriptor right after connecting; a trigger client its bytes.
constexpr std::chrono::seconds kHandOverLimit{10};
constexpr unsigned kAcceptsInARow = 4;

using NameCall = int (*)(int, sockaddr*, socklen_t*);

/// What getpeername(2) or getsockname(2) says; nullopt for a socket that is not TCP.
std::optional<net::Endpoint> endpoint_of(int socket, NameCall call) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (call(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) { return std::nullopt; }
  return net::Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address));
}

net::AcceptedConnection describe(std::unique_ptr<net::Stream> stream, std::optional<net::Endpoint> peer,
                                 std::size_t listener) {
  net::AcceptedConnection connection;
  const int fd = stream->native_handle();
  connection.peer = std::move(peer);
  if (connection.peer) {
    connection.local = endpoint_of(fd, ::getsockname);
    net::send_at_once(fd);
  }
  connection.stream = std::move(stream);
  connection.listener = listener;
  return connection;
}

/// Errors of accept that concern one client or another process that was faster; everything else is ours.
bool only_this_client(int error) {
  return error == EAGAIN || error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM;
}

}  // namespace

net::Task<Result<unique_fd>> receive_descriptor(net::EventLoop& loop, int socket, Deadline deadline) {
  net::Readiness readiness(loop, socket);
  const auto readable = co_await readiness.wait(deadline);
  if (!readable) { co_return std::unexpected(readable.error()); }
  std::array<char, 256> bytes{};
  iovec data{.iov_base = bytes.data(), .iov_len = bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) { co_return errno_failure("receive descriptor"); }
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    co_return failure("no descriptor came with the message", std::errc::bad_message);
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  co_return unique_fd(fd);
}

/// True: a client can be accepted on this listener now. False: the process stops.
net::Task<bool> Context::Impl::wait_for_client(net::Readiness& listener) {
  while (!stopped()) {
    if (!may_accept() || (!gate.open() && !(contended && someone_idle()))) {
      const auto woken = co_await changed.wait(Deadline::never());
      if (!woken) { co_return false; }
      continue;
    }
    const auto readable = co_await listener.wait(Deadline::never());
    if (!readable) { co_return false; }
    if (!may_accept()) { continue; }
    if (gate.open()) { co_return true; }
    if (contended && evict_one()) {
      // The place is free when that session has ended, which wakes us.
      const auto woken = co_await changed.wait(within(std::chrono::seconds(1)));
      if (!woken && !woken.error().is(std::errc::timed_out)) { co_return false; }
    }
  }
  co_return false;
}

net::Task<> Context::Impl::accept_clients(Context& context, std::size_t index, const SessionHandler& handler) {
  net::Readiness listener(loop, listeners[index].get());
  for (unsigned in_a_row = 0;;) {
    // A few of a burst at once; the rest is left to the service's other processes.
    if (in_a_row == 0 || !may_accept() || !gate.open()) {
      const bool ready = co_await wait_for_client(listener);
      if (!ready) { co_return; }
      in_a_row = 0;
    }
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    unique_fd socket(::accept4(listeners[index].get(), reinterpret_cast<sockaddr*>(&address), &length,
                               SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      in_a_row = (in_a_row + 1) % kAcceptsInARow;
      gate.session_began();
      session_tasks.spawn(run_session(context, std::move(socket),
                                      net::Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address)), index,
                                      handler));
      publish();
      continue;
    }
    in_a_row = 0;
    const int error = errno;
    if (only_this_client(error)) { continue; }
    log::warning("accept connection: {}", errno_failure(error, "accept").error().message());
    const auto slept = co_await net::sleep_until(within(std::chrono::seconds(1)));
    if (!slept) { co_return; }
  }
}

net::Task<> Context::Impl::run_session(Context& context, unique_fd socket, std::optional<net::Endpoint> peer,
                                       std::size_t index, const SessionHandler& handler) {
  SessionContext session(context, context.config());
  sessions.insert(&session);
  const Defer end([this, &session] {
    sessions.erase(&session);
    gate.session_ended();
    board.page().completed.fetch_add(1);
    publish();
  });
  if (arguments.service_type == "pass") {
    auto passed = co_await receive_descriptor(loop, socket.get(), within(kHandOverLimit));
    if (!passed) {
      log::warning("service {}: {}", arguments.service_name, passed.error().message());
      co_return;
    }
    socket = std::move(*passed);
    peer = endpoint_of(socket.get(), ::getpeername);
    if (const auto set = sys::set_nonblocking(socket.get()); !set) {
      log::warning("service {}: {}", arguments.service_name, set.error().message());
      co_return;
    }
  }
  auto connection = describe(net::adopt_stream(loop, std::move(socket)), std::move(peer), index);
  co_await handler(std::move(connection), session);
}

net::Task<Result<>> Context::serve_sessions(SessionHandler handler) {
  SP_CO_TRY(impl_->enter_confinement());
  for (std::size_t i = 0; i < impl_->listeners.size(); ++i) {
    impl_->acceptors.spawn(impl_->accept_clients(*this, i, handler));
  }
  co_await impl_->acceptors.join();
  // Sessions may go on for minutes. After a crash of master its successor must be able to bind these addresses
  // meanwhile.
  impl_->listeners.clear();
  co_await impl_->session_tasks.join();
  co_return Result<>{};
}

net::Task<> Context::Impl::read_trigger(unique_fd socket) {
  const auto stream = net::adopt_stream(loop, std::move(socket));
  std::string bytes(kTriggerBytes, '\0');
  std::size_t used = 0;
  const Deadline deadline = within(kHandOverLimit);
  while (used < bytes.size()) {
    const auto got = co_await stream->read_some(std::span<char>(bytes).subspan(used), deadline);
    if (!got || *got == 0) { break; }
    used += *got;
  }
  if (used > 0) {
    bytes.resize(used);
    add_trigger(std::move(bytes));
  }
}

net::Task<> Context::Impl::accept_triggers(std::size_t index) {
  const bool fifo = arguments.service_type == "fifo";
  const int fd = listeners[index].get();
  net::Readiness readiness(loop, fd);
  while (!stopped()) {
    const auto readable = co_await readiness.wait(Deadline::never());
    if (!readable) { co_return; }
    while (asking && !stopped()) {
      const auto woken = co_await changed.wait(Deadline::never());
      if (!woken) { co_return; }
    }
    if (fifo) {
      std::string bytes(kTriggerBytes, '\0');
      const auto got = sys::read(fd, bytes);
      if (got && *got > 0) {
        bytes.resize(*got);
        add_trigger(std::move(bytes));
      }
      continue;
    }
    // Few at a time: whoever may connect must not be able to fill our memory or descriptors with open triggers.
    co_await session_tasks.room();
    unique_fd socket(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket && session_tasks.size() < kPendingTriggers) {
      session_tasks.spawn(read_trigger(std::move(socket)));
    } else if (socket || !only_this_client(errno)) {
      const auto slept = co_await net::sleep_until(within(std::chrono::milliseconds(100)));
      if (!slept) { co_return; }
    }
  }
}

net::Task<Result<>> Context::serve_triggers(TriggerHandler handler) {
  SP_CO_TRY(impl_->enter_confinement());
  Impl& impl = *impl_;
  impl.takes_triggers = true;
  for (std::size_t i = 0; i < impl.listeners.size(); ++i) { impl.acceptors.spawn(impl.accept_triggers(i)); }
  for (;;) {
    if (!impl.triggers.empty()) {
      std::string bytes = std::move(impl.triggers.front());
      impl.triggers.pop_front();
      // A trigger that came in time is served even if max_use or a drain came meanwhile.
      const bool counted = impl.gate.open();
      if (counted) { impl.gate.session_began(); }
      impl.publish();
      co_await handler(std::move(bytes));
      if (counted) {
        impl.gate.session_ended();
        impl.board.page().completed.fetch_add(1);
      }
      impl.publish();
      continue;
    }
    if (impl.stopped()) { break; }
    const auto woken = co_await impl.changed.wait(Deadline::never());
    if (!woken) { break; }
  }
  impl.takes_triggers = false;
  co_await impl.acceptors.cancel_and_join();
  co_await impl.session_tasks.cancel_and_join();
  co_return Result<>{};
}

net::Task<> Context::Impl::accept_datagrams(std::size_t index, const DatagramHandler& handler) {
  constexpr std::size_t kBatch = 16;
  // Not initialised: what datagrams never reach stays address space without memory.
  const auto buffer = std::make_unique_for_overwrite<char[]>(kBatch * kDatagramBytes);
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    parts.at(i) = {.iov_base = buffer.get() + i * kDatagramBytes, .iov_len = kDatagramBytes};
    messages.at(i).msg_hdr.msg_iov = &parts.at(i);
    messages.at(i).msg_hdr.msg_iovlen = 1;
  }
  std::vector<std::string_view> datagrams;
  const int fd = listeners[index].get();
  net::Readiness readiness(loop, fd);
  for (;;) {
    Result<> readable;
    if (!stopped()) { readable = co_await readiness.wait(Deadline::never()); }
    // What is in the queue was sent before we stopped; a logger does not leave it to a successor that may not come.
    for (int round = 0; round < 16; ++round) {
      const int got = ::recvmmsg(fd, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got <= 0) { break; }
      datagrams.clear();
      for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
        datagrams.emplace_back(buffer.get() + i * kDatagramBytes, messages.at(i).msg_len);
      }
      handler(datagrams);
      idle_since = SteadyClock::now();
      if (asking) { asking = false; }
      if (static_cast<std::size_t>(got) < kBatch) { break; }
    }
    if (!readable || stopped()) { co_return; }
  }
}

net::Task<Result<>> Context::serve_datagrams(DatagramHandler handler) {
  SP_CO_TRY(impl_->enter_confinement());
  for (std::size_t i = 0; i < impl_->listeners.size(); ++i) {
    impl_->acceptors.spawn(impl_->accept_datagrams(i, handler));
  }
  co_await impl_->acceptors.join();
  co_return Result<>{};
}

}  // namespace stagepost::daemon
