#include "net/socket_stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <coroutine>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/sys.hpp"
#include "net/event.hpp"

namespace stagepost::net {
namespace {

using WaitType = boost::asio::posix::descriptor_base::wait_type;

/// A descriptor in the reactor with one lazily armed timer: the timer is not touched per operation, it looks at the
/// deadlines of what is waiting when it fires. System calls are tried first; only EAGAIN costs a turn of the loop.
/// `shared_ptr` because a handler may be queued when the owner goes away.
class Waitable : public std::enable_shared_from_this<Waitable> {
 public:
  Waitable(EventLoop& loop, unique_fd fd) : descriptor_(loop.context()), timer_(loop.context()), fd_(fd.get()) {
    descriptor_.assign(fd.release());
  }

  [[nodiscard]] int fd() const { return fd_; }

  /// One wait; lives in the frame of the coroutine that waits, which also keeps the Waitable.
  class Wait final : public Suspension {
   public:
    Wait(Waitable& owner, WaitType type, Deadline deadline) : owner_(owner), type_(type), deadline_(deadline) {}
    ~Wait() {
      if (owner_.waiting(type_) == this) { leave(); }
    }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

    [[nodiscard]] static bool await_ready() noexcept { return false; }
    template <class P>
    [[nodiscard]] bool await_suspend(std::coroutine_handle<P> caller) {
      control_ = caller.promise().control;
      if (control_->cancelled || !owner_.descriptor_.is_open()) {
        end_ = std::errc::operation_canceled;
        return false;
      }
      coroutine_ = caller;
      control_->waits_in = this;
      owner_.waiting(type_) = this;
      owner_.arm(deadline_);
      owner_.start(type_);
      return true;
    }
    [[nodiscard]] Result<> await_resume() const {
      if (end_ != std::errc{}) { return failure("wait", end_); }
      if (error_) { return std::unexpected(Error{error_, "wait"}); }
      return {};
    }

    void give_up() override {
      end_early(std::errc::operation_canceled);
      owner_.interrupt();
    }
    /// The reason that counts when the reactor reports the end.
    void end_early(std::errc reason) {
      if (end_ == std::errc{}) { end_ = reason; }
    }
    [[nodiscard]] Deadline deadline() const { return deadline_; }

    void ended(const boost::system::error_code& error) {
      const bool aborted =
          error == boost::asio::error::operation_aborted || error == boost::asio::error::bad_descriptor;
      if (aborted && end_ == std::errc{}) {
        // Meant for the wait for the other direction, unless the descriptor was closed.
        if (owner_.descriptor_.is_open()) {
          owner_.start(type_);
          return;
        }
        end_ = std::errc::operation_canceled;
      }
      if (!error && end_ == std::errc::operation_canceled) { end_ = std::errc{}; }  // what it waited for came first
      if (!aborted) { error_ = error; }
      leave();
      coroutine_.resume();
    }

   private:
    void leave() {
      owner_.waiting(type_) = nullptr;
      control_->waits_in = nullptr;
    }

    Waitable& owner_;
    WaitType type_;
    Deadline deadline_;
    TaskControl* control_ = nullptr;
    std::coroutine_handle<> coroutine_;
    std::errc end_{};
    boost::system::error_code error_;
  };

  /// `co_await wait(...)` gives Result<>.
  [[nodiscard]] Wait wait(WaitType type, Deadline deadline) { return Wait(*this, type, deadline); }

  /// After a run of system calls that never had to wait, the loop gets a turn (yield_now), so that one busy peer cannot
  /// starve the others.
  [[nodiscard]] bool turn_is_over() {
    if (++immediate_ < 32) { return false; }
    immediate_ = 0;
    return true;
  }

  void cancel() {
    for (Wait* const wait : waiting_) {
      if (wait != nullptr) { wait->end_early(std::errc::operation_canceled); }
    }
    interrupt();
  }

  /// After a wait for writing the reactor keeps looking at that side too, and each later wait for reading begins with
  /// a wake-up because the socket is writable. Registered anew, it is not. Nothing may be waiting.
  void forget_writing() { descriptor_.assign(descriptor_.release()); }

  void close() {
    boost::system::error_code ignored;
    timer_.cancel();
    armed_ = false;
    if (descriptor_.is_open()) { descriptor_.close(ignored); }
    fd_ = -1;
  }

 private:
  [[nodiscard]] Wait*& waiting(WaitType type) { return waiting_.at(type == WaitType::wait_read ? 0 : 1); }

  void start(WaitType type) {
    descriptor_.async_wait(type, [self = shared_from_this(), type](const boost::system::error_code& error) {
      if (Wait* const wait = self->waiting(type)) { wait->ended(error); }
    });
  }

  /// Both waits end; each knows why, or goes on.
  void interrupt() {
    boost::system::error_code ignored;
    if (descriptor_.is_open()) { descriptor_.cancel(ignored); }
  }

  void arm(Deadline deadline) {
    if (deadline.is_never() || (armed_ && armed_for_ <= deadline.at())) { return; }
    armed_ = true;
    armed_for_ = deadline.at();
    timer_.expires_at(deadline.at());
    timer_.async_wait([weak = weak_from_this(), at = deadline.at()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!self || error || !self->armed_ || self->armed_for_ != at) { return; }
      self->armed_ = false;
      self->on_timer();
    });
  }

  void on_timer() {
    const auto now = SteadyClock::now();
    Deadline next = Deadline::never();
    bool expired = false;
    for (Wait* const wait : waiting_) {
      if (wait == nullptr || wait->deadline().is_never()) { continue; }
      if (wait->deadline().at() <= now) {
        wait->end_early(std::errc::timed_out);
        expired = true;
      } else {
        next = Deadline::earlier(next, wait->deadline());
      }
    }
    if (expired) { cancel(); }
    if (!next.is_never()) { arm(next); }
  }

  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer timer_;
  int fd_;
  bool armed_ = false;
  SteadyClock::time_point armed_for_;
  std::array<Wait*, 2> waiting_{};
  unsigned immediate_ = 0;
};

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

class SocketStream final : public Stream {
 public:
  explicit SocketStream(std::shared_ptr<Waitable> waitable) : waitable_(std::move(waitable)) {}
  ~SocketStream() override { waitable_->close(); }
  SocketStream(const SocketStream&) = delete;
  SocketStream& operator=(const SocketStream&) = delete;

  Task<Result<std::size_t>> read_some(std::span<char> buffer, Deadline deadline) override {
    const auto waitable = waitable_;
    for (;;) {
      if (std::exchange(drained_, false)) {
        const auto ready = co_await waitable->wait(WaitType::wait_read, deadline);
        if (!ready) { co_return std::unexpected(ready.error()); }
      }
      const auto n = ::recv(waitable->fd(), buffer.data(), buffer.size(), 0);
      if (n >= 0) {
        drained_ = n > 0 && static_cast<std::size_t>(n) < buffer.size();
        if (waitable->turn_is_over()) { co_await yield_now(); }
        co_return static_cast<std::size_t>(n);
      }
      if (errno == EINTR) { continue; }
      if (!would_block(errno)) { co_return errno_failure("read"); }
      drained_ = true;
    }
  }

  Task<Result<std::size_t>> append_some(std::string& target, std::size_t limit_bytes, Deadline deadline) override {
    // Every socket of the thread reads into one buffer and keeps only what came. No coroutine suspends in between.
    static thread_local std::array<char, 64 * 1024> scratch;
    const auto waitable = waitable_;
    for (;;) {
      if (std::exchange(drained_, false)) {
        const auto ready = co_await waitable->wait(WaitType::wait_read, deadline);
        if (!ready) { co_return std::unexpected(ready.error()); }
      }
      const std::size_t room = std::min(limit_bytes, scratch.size());
      const auto n = ::recv(waitable->fd(), scratch.data(), room, 0);
      if (n >= 0) {
        drained_ = n > 0 && static_cast<std::size_t>(n) < room;
        target.append(scratch.data(), static_cast<std::size_t>(n));
        if (waitable->turn_is_over()) { co_await yield_now(); }
        co_return static_cast<std::size_t>(n);
      }
      if (errno == EINTR) { continue; }
      if (!would_block(errno)) { co_return errno_failure("read"); }
      drained_ = true;
    }
  }

  Task<Result<>> write_all(std::string_view bytes, Deadline deadline) override {
    const auto waitable = waitable_;
    while (!bytes.empty()) {
      const auto n = ::send(waitable->fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
        continue;
      }
      if (errno == EINTR) { continue; }
      if (!would_block(errno)) { co_return errno_failure("write"); }
      const auto ready = co_await waitable->wait(WaitType::wait_write, deadline);
      if (!ready) { co_return std::unexpected(ready.error()); }
    }
    co_return Result<>{};
  }

  void cancel() override { waitable_->cancel(); }
  void close() override { waitable_->close(); }
  [[nodiscard]] int native_handle() const override { return waitable_->fd(); }

 private:
  std::shared_ptr<Waitable> waitable_;
  /// The last read took all there was: the next one waits before it tries. (The reactor tells at once when something
  /// came meanwhile.)
  bool drained_ = false;
};

Task<Result<std::unique_ptr<Stream>>> connect(EventLoop& loop, unique_fd socket, sockaddr_storage address,
                                              socklen_t length, Deadline deadline) {
  auto waitable = std::make_shared<Waitable>(loop, std::move(socket));
  auto stream = std::make_unique<SocketStream>(waitable);
  for (;;) {
    if (::connect(waitable->fd(), reinterpret_cast<const sockaddr*>(&address), length) == 0) { break; }
    if (errno == EINTR) { continue; }
    // A UNIX socket whose backlog is full says EAGAIN and offers nothing to wait for.
    if (errno == EAGAIN && address.ss_family == AF_UNIX) {
      if (deadline.passed()) { co_return failure("connect", std::errc::timed_out); }
      const auto slept = co_await sleep_until(within(std::chrono::milliseconds(2)));
      if (!slept) { co_return std::unexpected(slept.error()); }
      continue;
    }
    if (errno != EINPROGRESS) { co_return errno_failure("connect"); }
    const auto ready = co_await waitable->wait(WaitType::wait_write, deadline);
    if (!ready) { co_return std::unexpected(ready.error()); }
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(waitable->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) { co_return errno_failure(error, "connect"); }
    waitable->forget_writing();
    break;
  }
  co_return std::unique_ptr<Stream>(std::move(stream));
}

}  // namespace

Result<std::unique_ptr<Stream>> make_stream(EventLoop& loop, unique_fd socket) {
  SP_TRY(sys::set_nonblocking(socket.get()));
  return adopt_stream(loop, std::move(socket));
}

std::unique_ptr<Stream> adopt_stream(EventLoop& loop, unique_fd socket) {
  return std::make_unique<SocketStream>(std::make_shared<Waitable>(loop, std::move(socket)));
}

void send_at_once(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Task<Result<std::unique_ptr<Stream>>> connect_unix(EventLoop& loop, std::string path, Deadline deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) { co_return failure("socket path too long: " + path); }
  path.copy(address.sun_path, path.size());
  unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) { co_return errno_failure("socket"); }
  sockaddr_storage storage{};
  static_assert(sizeof address <= sizeof storage);
  std::memcpy(&storage, &address, sizeof address);
  auto stream = co_await connect(loop, std::move(socket), storage, sizeof address, deadline);
  if (!stream) { co_return std::unexpected(std::move(stream.error()).within(path)); }
  co_return stream;
}

Task<Result<std::unique_ptr<Stream>>> connect_tcp(EventLoop& loop, Endpoint remote, std::optional<IpAddress> local,
                                                  Deadline deadline) {
  sockaddr_storage address{};
  const socklen_t length = remote.to_sockaddr(address);
  unique_fd socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (!socket) { co_return errno_failure("socket"); }
  send_at_once(socket.get());
  if (local && local->family() == remote.address.family()) {
    sockaddr_storage from{};
    const socklen_t from_length = Endpoint{*local, 0}.to_sockaddr(from);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&from), from_length) != 0) {
      co_return errno_failure("bind " + local->text());
    }
  }
  auto stream = co_await connect(loop, std::move(socket), address, length, deadline);
  co_return stream;
}

struct Listener::Impl {
  std::shared_ptr<Waitable> waitable;
  EventLoop& loop;
};

Listener::Listener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() {
  if (impl_) { impl_->waitable->close(); }
}
Listener::Listener(Listener&&) noexcept = default;
Listener& Listener::operator=(Listener&&) noexcept = default;

Result<Listener> Listener::create(EventLoop& loop, unique_fd socket) {
  SP_TRY(sys::set_nonblocking(socket.get()));
  return Listener(std::unique_ptr<Impl>(new Impl{std::make_shared<Waitable>(loop, std::move(socket)), loop}));
}

Task<Result<AcceptedConnection>> Listener::accept() {
  const auto waitable = impl_->waitable;
  EventLoop& loop = impl_->loop;
  for (;;) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    unique_fd fd(::accept4(waitable->fd(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      AcceptedConnection connection;
      connection.peer = Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&peer));
      sockaddr_storage local{};
      length = sizeof local;
      if (connection.peer && ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &length) == 0) {
        connection.local = Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&local));
        send_at_once(fd.get());
      }
      connection.stream = adopt_stream(loop, std::move(fd));
      co_return connection;
    }
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) { continue; }
    if (!would_block(errno)) { co_return errno_failure("accept"); }
    const auto ready = co_await waitable->wait(WaitType::wait_read, Deadline::never());
    if (!ready) { co_return std::unexpected(ready.error()); }
  }
}

void Listener::cancel() { impl_->waitable->cancel(); }
int Listener::native_handle() const { return impl_->waitable->fd(); }

struct Readiness::Impl {
  std::shared_ptr<Waitable> waitable;  ///< null: the descriptor could not be duplicated
  int error = 0;
};

Readiness::Readiness(EventLoop& loop, int fd) : impl_(std::make_unique<Impl>()) {
  unique_fd duplicate(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (duplicate) {
    impl_->waitable = std::make_shared<Waitable>(loop, std::move(duplicate));
  } else {
    impl_->error = errno;
  }
}

Readiness::~Readiness() {
  if (impl_->waitable) { impl_->waitable->close(); }
}

Task<Result<>> Readiness::wait(Deadline deadline) {
  const auto waitable = impl_->waitable;
  if (!waitable) { co_return errno_failure(impl_->error, "dup"); }
  auto ready = co_await waitable->wait(WaitType::wait_read, deadline);
  co_return ready;
}

}  // namespace stagepost::net
