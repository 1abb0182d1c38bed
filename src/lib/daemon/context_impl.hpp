// The state behind a Context, shared by the files that implement it. Everything here runs on the loop's thread.
#pragma once

#include <deque>
#include <list>
#include <optional>
#include <set>

#include "base/unique_fd.hpp"
#include "daemon/arguments.hpp"
#include "daemon/daemon.hpp"
#include "daemon/session_gate.hpp"
#include "ipc/scoreboard.hpp"
#include "net/event.hpp"

namespace stagepost::daemon {

struct Context::Impl {
  /// Time between shutdown and the cancellation of the sessions that still run. Master allows 8 s for everything.
  static constexpr std::chrono::seconds kShutdownGrace{5};
  static constexpr std::size_t kPendingTriggers = 64;

  Impl(const Options& program, Arguments parsed, config::SnapshotPtr normal, config::SnapshotPtr stressed,
       ipc::Scoreboard scoreboard, std::vector<unique_fd> sockets, maps::OpenContext table_context);

  // What the process was started with.
  Options options;
  Arguments arguments;
  config::SnapshotPtr normal_config;
  config::SnapshotPtr stress_config;
  std::any prepared;
  /// Gives up privileges; empty when that is done.
  std::function<Result<>()> confine;
  [[nodiscard]] Result<> enter_confinement() {
    const auto enter = std::exchange(confine, nullptr);
    return enter ? enter() : Result<>{};
  }
  ipc::Scoreboard board;
  unique_fd status;
  std::vector<unique_fd> listeners;

  net::EventLoop loop;
  maps::OpenContext tables;
  SessionGate gate;
  /// Anything that acceptors, the idle timer or serve_* wait for has changed.
  net::Event changed;
  /// The log has collected a first line.
  net::Event line_collected;
  bool lines_wait = false;

  bool stress = false;
  bool contended = false;  ///< the service can't start another process
  bool draining = false;
  bool shutting_down = false;
  bool asking = false;   ///< told master "idle" and waits for the answer
  bool leaving = false;  ///< master said go
  std::size_t busy = 0;  ///< keep_busy() holders
  SteadyClock::time_point idle_since = SteadyClock::now();
  std::set<SessionContext*> sessions;
  std::deque<std::string> triggers;
  bool takes_triggers = false;
  std::function<void()> on_drain;
  std::function<void()> on_shutdown;
  std::function<void()> on_wakeup;
  std::function<void(std::uint32_t)> on_quota;

  net::TaskGroup background;
  net::TaskGroup acceptors;
  net::TaskGroup session_tasks;
  net::TaskGroup control;  ///< status socket, idle timer, watchdog; ends last

  /// No more clients, for whatever reason.
  [[nodiscard]] bool stopped() const { return gate.retiring() || leaving; }
  [[nodiscard]] bool may_accept() const { return !stopped() && !asking; }
  [[nodiscard]] bool idle() const;

  void start_control(Context& context);
  /// Sends what the gate has to say, refreshes the page, wakes who waits.
  void publish();
  void begin_drain();
  void begin_shutdown();
  void close_idle_sessions();
  /// Closes the client that has been idle longest. False: none is.
  bool evict_one();
  [[nodiscard]] bool someone_idle() const;
  void add_trigger(std::string bytes);

  net::Task<> read_status();
  bool read_status_messages();
  void handle(const ipc::StatusMessage& message);
  void send(const ipc::StatusMessage& message);
  net::Task<> watch_idle();
  net::Task<> watchdog(std::chrono::seconds timeout);
  net::Task<> send_log_lines();
  net::Task<> end_sessions_after_grace();

  net::Task<> accept_clients(Context& context, std::size_t index, const SessionHandler& handler);
  net::Task<bool> wait_for_client(net::Readiness& listener);
  net::Task<> run_session(Context& context, unique_fd socket, std::optional<net::Endpoint> peer, std::size_t index,
                          const SessionHandler& handler);
  net::Task<> accept_triggers(std::size_t index);
  net::Task<> read_trigger(unique_fd socket);
  net::Task<> accept_datagrams(std::size_t index, const DatagramHandler& handler);
};

/// Receives the descriptor a pass client sends: one message with one byte or more and exactly one descriptor.
[[nodiscard]] net::Task<Result<unique_fd>> receive_descriptor(net::EventLoop& loop, int socket, Deadline deadline);

}  // namespace stagepost::daemon
