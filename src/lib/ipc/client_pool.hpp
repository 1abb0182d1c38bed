// A client's connections to one service endpoint: opened on demand, kept for a while, reused.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <string>

#include "ipc/channel.hpp"
#include "net/error.hpp"
#include "net/event.hpp"
#include "net/event_loop.hpp"

namespace stagepost::ipc {

class ClientPool {
 public:
  struct Limits {
    std::size_t idle_connections = 4;   ///< kept open when not in use
    std::chrono::seconds idle_time{5};  ///< parameter ipc_idle
    std::chrono::seconds age{1000};     ///< parameter ipc_ttl
  };
  /// A connection on loan. Give it back with release() after a complete exchange; destroyed otherwise it is closed,
  /// so a connection in an unknown state is never reused.
  class Lease {
   public:
    Lease(ClientPool& pool, std::unique_ptr<Channel> channel, SteadyClock::time_point opened, bool reused);
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) noexcept = default;
    [[nodiscard]] Channel& operator*() { return *channel_; }
    [[nodiscard]] Channel* operator->() { return channel_.get(); }
    /// It was used before: a failure before the first reply may only mean that the server closed it meanwhile.
    [[nodiscard]] bool reused() const { return reused_; }
    void release();

   private:
    ClientPool* pool_;
    std::unique_ptr<Channel> channel_;
    SteadyClock::time_point opened_;
    bool reused_;
  };

  /// `path`: the endpoint, e.g. "private/rewrite" relative to the queue directory or absolute.
  ClientPool(net::EventLoop& loop, std::string path, Limits limits);
  ClientPool(net::EventLoop& loop, std::string path) : ClientPool(loop, std::move(path), Limits{}) {}

  /// An idle connection or a new one. While the endpoint is missing or refuses (service starting), retries until the
  /// deadline.
  [[nodiscard]] net::Task<Result<Lease>> acquire(Deadline deadline);

  /// One request, one reply. `request` must be safe to repeat: a reused connection that turns out to be closed is
  /// replaced, and so is up to kLostServers times a new one whose server ends before it has answered.
  template <class Reply, class Request>
  [[nodiscard]] net::Task<Result<Reply>> call(Request request, Deadline deadline) {
    int lost = 0;
    for (;;) {
      auto lease = co_await acquire(deadline);
      if (!lease) { co_return std::unexpected(lease.error()); }
      auto reply = co_await (*lease)->template call<Reply>(request, deadline);
      if (reply) {
        lease->release();
        co_return reply;
      }
      if (reply.error().is(std::errc::timed_out) || reply.error().is(std::errc::operation_canceled) ||
          (!lease->reused() && (!ended(reply.error()) || lost == kLostServers))) {
        co_return std::unexpected(std::move(reply.error()).within(path_));
      }
      if (lease->reused()) { continue; }
      const auto slept = co_await net::sleep_until(Deadline::earlier(deadline, within(kPause * ++lost)));
      if (!slept) { co_return std::unexpected(slept.error()); }
    }
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] net::EventLoop& loop() { return loop_; }
  /// Closes what is idle (drain, memory pressure).
  void close_idle() { idle_.clear(); }

 private:
  struct Idle {
    std::unique_ptr<Channel> channel;
    SteadyClock::time_point opened;
    SteadyClock::time_point since;
  };
  static constexpr int kLostServers = 3;
  static constexpr std::chrono::milliseconds kPause{50};
  void drop_expired();
  /// The server is gone, whatever of the request it had read.
  [[nodiscard]] static bool ended(const Error& error) {
    return error.code == net::Errc::end_of_stream || error.is(std::errc::connection_reset) ||
           error.is(std::errc::broken_pipe);
  }

  net::EventLoop& loop_;
  std::string path_;
  Limits limits_;
  std::list<Idle> idle_;  // most recently used last
};

}  // namespace stagepost::ipc
