// See proxy_client.hpp.
#include "maps/proxy_client.hpp"

#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/defer.hpp"
#include "ipc/channel.hpp"
#include "net/socket_stream.hpp"

namespace stagepost::maps {

/// A request that waits for its reply, in the frame of the coroutine that asks.
struct ProxyClient::Pending {
  explicit Pending(net::EventLoop& loop) : changed(loop) {}
  std::optional<ProxyReply> reply;
  net::Event changed;  ///< the reply is there, the connection broke, or somebody has to read or write
};

/// Nobody owns the reading: of those who wait, one reads for all until its own reply is there. Writing likewise.
struct ProxyClient::Connection {
  explicit Connection(std::unique_ptr<net::Stream> stream) : channel(std::move(stream)) {}

  /// Lets one of those who wait take over.
  void pass_on(const Pending* self) {
    for (const auto& [number, pending] : waiting) {
      if (pending != self) {
        pending->changed.notify_all();
        return;
      }
    }
  }
  void fail() {
    broken = true;
    channel.close();
    for (const auto& [number, pending] : waiting) { pending->changed.notify_all(); }
  }

  ipc::Channel channel;
  std::map<std::uint32_t, Pending*> waiting;  // without a reply yet
  bool reading = false;
  bool writing = false;
  bool broken = false;
  SteadyClock::time_point opened = SteadyClock::now();
  SteadyClock::time_point last_use = SteadyClock::now();
};

namespace {

bool cancelled(const Error& error) { return error.is(std::errc::operation_canceled); }

}  // namespace

ProxyClient::ProxyClient(net::EventLoop& loop, Settings settings)
    : loop_(loop), settings_(std::move(settings)), connect_ended_(loop), idle_timer_(loop, [this] {
        if (!connection_ || !connection_->waiting.empty()) { return; }
        const Deadline end(connection_->last_use + settings_.idle);
        if (end.passed()) {
          connection_.reset();
        } else {
          idle_timer_.set(end);
        }
      }) {}

ProxyClient::~ProxyClient() = default;

net::Task<Result<std::shared_ptr<ProxyClient::Connection>>> ProxyClient::connect(Deadline deadline) {
  for (int attempt = 1;; ++attempt) {
    auto stream = co_await net::connect_unix(loop_, settings_.path, deadline);
    if (stream) { co_return std::make_shared<Connection>(*std::move(stream)); }
    Error error{stream.error().code, fmt::format("connect #{} to subsystem {}", attempt, settings_.path)};
    if (cancelled(error) || attempt == settings_.connect_tries || deadline.passed()) {
      co_return std::unexpected(std::move(error));
    }
    settings_.warn(error.message());
    const auto slept = co_await net::sleep_until(Deadline::earlier(deadline, within(settings_.pause)));
    if (!slept) { co_return std::unexpected(slept.error()); }
  }
}

net::Task<Result<std::shared_ptr<ProxyClient::Connection>>> ProxyClient::connected(Deadline deadline) {
  const std::size_t failures_seen = failures_;
  for (;;) {
    if (connection_ && !connection_->broken) {
      const bool busy = !connection_->waiting.empty();
      const bool old = SteadyClock::now() - connection_->opened >= settings_.age;
      // An old one that is busy is left to those who wait for its replies.
      if (!old && (busy || !connection_->channel.stale())) { co_return connection_; }
      connection_.reset();
    }
    if (failures_ != failures_seen) { co_return std::unexpected(last_failure_); }
    if (!connecting_) { break; }
    const auto woken = co_await connect_ended_.wait(deadline);
    if (!woken) { co_return std::unexpected(woken.error()); }
  }
  connecting_ = true;
  const Defer done([this] {
    connecting_ = false;
    connect_ended_.notify_all();
  });
  auto made = co_await connect(deadline);
  if (made) {
    connection_ = *made;
  } else if (!cancelled(made.error())) {
    ++failures_;
    last_failure_ = made.error();
  }
  co_return made;
}

net::Task<Result<ProxyReply>> ProxyClient::ask(ProxyRequest request) {
  const Deadline deadline = within(settings_.timeout);
  for (int attempt = 1;; ++attempt) {
    auto to = co_await connected(deadline);
    if (!to) { co_return std::unexpected(std::move(to).error()); }
    Connection& connection = **to;
    if (connection.waiting.size() >= kProxyPendingLimit) {
      co_return failure(fmt::format("{}: too many requests are waiting", settings_.path),
                        std::errc::resource_unavailable_try_again);
    }
    Pending pending(loop_);
    request.number = ++last_number_;
    connection.waiting.emplace(request.number, &pending);
    connection.channel.queue(request);
    auto outcome = co_await exchange(connection, pending, deadline);
    connection.waiting.erase(request.number);
    used(connection);
    if (!connection.broken) { connection.pass_on(nullptr); }
    if (pending.reply) { co_return *std::move(pending.reply); }
    const Error& error = outcome.error();
    if (cancelled(error) || error.is(std::errc::timed_out) || attempt == 2) {
      co_return std::unexpected(std::move(outcome.error()).within(settings_.path));
    }
  }
}

/// Ends with pending.reply set, or with an error.
net::Task<Result<>> ProxyClient::exchange(Connection& connection, Pending& pending, Deadline deadline) {
  while (!pending.reply) {
    if (connection.broken) { co_return failure("connection lost", std::errc::connection_reset); }
    Result<> step;
    if (!connection.writing && connection.channel.unsent_bytes() > 0) {
      step = co_await write(connection, deadline);
    } else if (!connection.reading) {
      step = co_await read(connection, deadline);
    } else {
      step = co_await pending.changed.wait(deadline);
    }
    if (!step && !pending.reply) { co_return step; }
  }
  co_return Result<>{};
}

net::Task<Result<>> ProxyClient::write(Connection& connection, Deadline deadline) {
  connection.writing = true;
  // Others who are ready now add theirs.
  co_await net::yield_now();
  auto sent = co_await connection.channel.flush(deadline);
  connection.writing = false;
  // Part of a message may be gone: nobody can use this connection any more.
  if (!sent) { connection.fail(); }
  co_return sent;
}

net::Task<Result<>> ProxyClient::read(Connection& connection, Deadline deadline) {
  connection.reading = true;
  const auto frame = co_await connection.channel.receive(deadline);
  connection.reading = false;
  // Closed by another who waits, which looks like the end of this task.
  if (connection.broken) { co_return failure("connection lost", std::errc::connection_reset); }
  if (!frame) {
    if (!cancelled(frame.error())) { connection.fail(); }
    co_return std::unexpected(frame.error());
  }
  auto reply = frame->as<ProxyReply>();
  if (!reply) {
    connection.fail();
    co_return std::unexpected(reply.error());
  }
  // A reply to nobody is that of a caller who was told to end.
  const auto found = connection.waiting.find(reply->number);
  if (found != connection.waiting.end()) {
    Pending& pending = *found->second;
    connection.waiting.erase(found);
    pending.reply = *std::move(reply);
    pending.changed.notify_all();
  }
  co_return Result<>{};
}

void ProxyClient::used(Connection& connection) {
  connection.last_use = SteadyClock::now();
  if (&connection == connection_.get() && connection.waiting.empty()) { idle_timer_.set(within(settings_.idle)); }
}

}  // namespace stagepost::maps
