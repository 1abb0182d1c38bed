// Connections to the server behind a tcp: or socketmap: table: made when a lookup needs one, kept for the next, bounded
// in number. One request at a time goes over each, because the protocols promise no more.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "net/buffered_stream.hpp"
#include "net/endpoint.hpp"
#include "net/event.hpp"
#include "net/event_loop.hpp"
#include "net/fd_watch.hpp"
#include "net/task.hpp"

namespace stagepost::maps {

/// Where a table server listens.
struct ServerAddress {
  struct Inet {
    std::string host;  ///< name or address; "localhost" when none was given
    std::string port;  ///< number or service name
  };
  struct Unix {
    std::string path;  ///< relative to the working directory, as Postfix takes it
  };
  std::variant<Inet, Unix> where;
  std::string shown;  ///< in log lines: "127.0.0.1:7777", "/run/map"

  /// "host:port", "[address]:port", ":port". Error: no port, or bad syntax.
  [[nodiscard]] static Result<ServerAddress> inet(std::string_view host_port);
  [[nodiscard]] static ServerAddress unix_socket(std::string path);
};

class ServerConnections {
 public:
  struct Limits {
    std::size_t connections = 20;       ///< open at once
    std::size_t waiting = 1000;         ///< lookups that wait for a connection; more fail
    std::chrono::seconds idle{10};      ///< an unused connection is closed after this time
    std::chrono::seconds age{100};      ///< no connection is used longer
    std::chrono::seconds attempt{100};  ///< for one attempt to connect
  };

  /// A connection on loan. Give it back with release() after a whole exchange; otherwise it is closed.
  class Lease {
   public:
    Lease(ServerConnections& owner, std::unique_ptr<net::BufferedStream> stream, SteadyClock::time_point opened,
          bool reused);
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&&) = delete;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();
    [[nodiscard]] net::BufferedStream& operator*() { return *stream_; }
    [[nodiscard]] net::BufferedStream* operator->() { return stream_.get(); }
    /// It was used before: when it fails before the first byte of an answer, the server may only have closed it.
    [[nodiscard]] bool reused() const { return reused_; }
    void release();

   private:
    ServerConnections* owner_;
    std::unique_ptr<net::BufferedStream> stream_;
    SteadyClock::time_point opened_;
    bool reused_;
  };

  /// `warn` gets a line for each attempt to connect that fails, beginning with `what` ("connect to TCP map h:1: ...").
  /// `loop` outlives this.
  ServerConnections(net::EventLoop& loop, ServerAddress address, Limits limits, std::string what,
                    std::function<void(std::string_view)> warn);
  ~ServerConnections();
  ServerConnections(const ServerConnections&) = delete;
  ServerConnections& operator=(const ServerConnections&) = delete;

  [[nodiscard]] const ServerAddress& address() const { return address_; }

  /// An idle connection, or a new one. One attempt to connect is made at a time; those who wait for it share its
  /// outcome, so that a server that is down is warned about once per attempt and not once per lookup. Errors: why
  /// connecting failed; timed_out; too many lookups are waiting.
  [[nodiscard]] net::Task<Result<Lease>> acquire(Deadline deadline);

 private:
  struct Idle {
    std::unique_ptr<net::BufferedStream> stream;
    SteadyClock::time_point opened;
    SteadyClock::time_point since;
  };
  [[nodiscard]] net::Task<Result<std::unique_ptr<net::Stream>>> connect(Deadline deadline);
  [[nodiscard]] net::Task<Result<std::vector<net::Endpoint>>> addresses();
  void drop_expired();
  void set_timer();
  void ended();

  net::EventLoop& loop_;
  ServerAddress address_;
  Limits limits_;
  std::string what_;
  std::function<void(std::string_view)> warn_;
  std::list<Idle> idle_;  // most recently used last
  std::size_t open_ = 0;
  std::size_t waiting_ = 0;
  bool connecting_ = false;
  std::size_t failures_ = 0;  // attempts that failed, so that a waiter sees a new one
  Error last_failure_;
  net::Event changed_;
  net::Timer timer_;
};

}  // namespace stagepost::maps
