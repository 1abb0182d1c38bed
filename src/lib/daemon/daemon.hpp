// What every daemon shares. A daemon's main calls run(); run() reads the command line master wrote, loads the
// configuration, opens the log, gives up privileges, and runs the daemon's serve coroutine on one event loop. Sessions
// are accepted, counted and drained by the Context according to the rules of docs/architecture-processes.md.
#pragma once

#include <any>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "config/snapshot.hpp"
#include "ipc/channel.hpp"
#include "ipc/supervision.hpp"
#include "maps/open.hpp"
#include "net/buffered_stream.hpp"
#include "net/event_loop.hpp"
#include "net/socket_stream.hpp"
#include "net/task.hpp"
#include "net/task_group.hpp"

namespace stagepost::daemon {

/// pooled: many sessions up to the quota; single: one process for all clients; isolated: one session at a time.
using ipc::Kind;

enum class User : std::uint8_t {
  mail_owner,  ///< runs as mail_owner (master.cf "unpriv" column must be y)
  root,        ///< keeps root, to become the recipient (unpriv n)
};

enum class Lifetime : std::uint8_t {
  on_demand,  ///< ends after max_idle without work and after max_use sessions
  resident,   ///< stays until drain or shutdown (qmgr, verify, tlsmgr, postlogd)
};

/// What the program may still do after start-up. Everything else is taken away where the kernel can do so.
struct Needs {
  bool network = false;  ///< open Internet connections of its own
  bool exec = false;     ///< run programs
  /// Directories below queue_directory that it writes ("active", "deferred"); "$data_directory" for that directory.
  std::vector<std::string_view> writes = {};
  /// True: it opens paths that are not known at start (mailboxes, user-named tables), so Landlock is not used.
  bool any_path = false;
};

class Context;

/// Runs before privileges are dropped (and before chroot), as root: opens what only root can open. The result is handed
/// to serve through Context::prepared(). `tables` is Context::tables().
using Prepare = Result<std::any> (*)(const config::Snapshot& config, const maps::OpenContext& tables);
/// The daemon. When it returns, the process ends: with status 0, or 1 after logging the error as fatal.
using Serve = net::Task<Result<>> (*)(Context& context);

struct Options {
  std::string_view name;  ///< "smtpd": process name in the log and for process_name
  Kind kind = Kind::pooled;
  User user = User::mail_owner;
  Lifetime lifetime = Lifetime::on_demand;
  Needs needs = {};
  /// For services of our own processes (proxymap, trivial-rewrite): with maxproc 1 in master.cf, one process serves
  /// every client, i.e. the kind is single then.
  bool single_at_limit_one = false;
  /// A single daemon whose successor may start while it still drains (postscreen). Otherwise the successor waits.
  bool overlap = false;
  Prepare prepare = nullptr;
  /// The coroutine keeps the privileges of the start, outside a chroot, until it first calls serve_sessions,
  /// serve_triggers or serve_datagrams: it opens tables and reads resolv.conf, and listens to nobody. It must not wait
  /// for anything nor use net::run_blocking before (threads that exist already are not confined).
  bool set_up_first = false;
  /// Threads of the pool behind net::run_blocking.
  std::size_t blocking_threads = 4;
};

/// One session, as the accept loop sees it. Lives as long as the handler runs.
class SessionContext {
 public:
  /// The configuration of this session; stress values included when it began under stress.
  [[nodiscard]] const config::SnapshotPtr& config() const { return config_; }
  /// The process shall end soon; a session that is between two transactions may say goodbye (421).
  [[nodiscard]] bool shutting_down() const;
  /// A newer process has taken over; long-lived sessions should end when convenient.
  [[nodiscard]] bool draining() const;
  /// Waits for the next request of an idle client. Fails when the deadline passes, and with operation_canceled when
  /// the process drains or needs the place for a new client: close the connection then. Request loops of IPC services
  /// use this instead of a bare read, so that idle clients never keep others out.
  [[nodiscard]] net::Task<Result<>> wait_request(ipc::Channel& channel, Deadline deadline);
  [[nodiscard]] net::Task<Result<>> wait_request(net::BufferedStream& stream, Deadline deadline);

  SessionContext(Context& context, config::SnapshotPtr config) : context_(&context), config_(std::move(config)) {}

 private:
  friend class Context;
  [[nodiscard]] bool waits() const;
  void evict();
  net::Task<Result<>> while_idle(net::BufferedStream& stream, net::Task<Result<>> wait);

  Context* context_;
  config::SnapshotPtr config_;
  net::BufferedStream* idle_in_ = nullptr;  // of a pending wait_request
  bool evicted_ = false;
  SteadyClock::time_point idle_since_{};
};

using SessionHandler = std::function<net::Task<>(net::AcceptedConnection, SessionContext&)>;
/// `bytes`: what one trigger client sent (postkick), at most kTriggerBytes; "W" for master's wakeup timer.
using TriggerHandler = std::function<net::Task<>(std::string bytes)>;
inline constexpr std::size_t kTriggerBytes = 4096;
/// What came together, in order; each at most kDatagramBytes (longer ones are cut).
using DatagramHandler = std::function<void(std::span<const std::string_view> datagrams)>;
inline constexpr std::size_t kDatagramBytes = 65536;

class Context {
 public:
  /// main.cf with this service's -o; with $stress set while the service is at its limit.
  [[nodiscard]] const config::SnapshotPtr& config() const;
  [[nodiscard]] net::EventLoop& loop();
  /// What the daemon's tables are opened with (maps::make_context); modules were loaded before any change of root
  /// directory.
  [[nodiscard]] const maps::OpenContext& tables() const;
  /// Name in master.cf ("smtp", "127.0.0.1:10025"), its type ("inet", "unix", "fifo", "pass", "unix-dgram").
  [[nodiscard]] const std::string& service_name() const;
  [[nodiscard]] const std::string& service_type() const;
  /// Arguments of the master.cf entry that are the program's own (flags=..., argv=...), in order.
  [[nodiscard]] const std::vector<std::string>& arguments() const;
  /// The configuration of sessions under stress. A daemon whose set-up opens files makes what belongs to it beforehand
  /// when it is going to live in a chroot.
  [[nodiscard]] const config::SnapshotPtr& stress_config() const;
  [[nodiscard]] bool in_chroot() const;
  /// What prepare() returned.
  [[nodiscard]] std::any& prepared();
  [[nodiscard]] bool stress() const;
  [[nodiscard]] bool draining() const;
  [[nodiscard]] bool shutting_down() const;
  /// Counter `slot` (< ScoreboardPage::kCounters) of this process in the scoreboard.
  void count(std::size_t slot, std::uint64_t by = 1);

  /// Accepts clients and runs `handler` for each, in its own task, until drain, max_use or max_idle; returns when the
  /// last session has ended. At the quota nothing is accepted. When the whole service is at its limit, the
  /// session that has waited longest in wait_request is closed in favour of a waiting client.
  [[nodiscard]] net::Task<Result<>> serve_sessions(SessionHandler handler);
  /// Runs `handler` for each trigger (one at a time) and for each wakeup of master, until drain, max_use or max_idle.
  [[nodiscard]] net::Task<Result<>> serve_triggers(TriggerHandler handler);
  /// For unix-dgram services: `handler` for each datagram.
  [[nodiscard]] net::Task<Result<>> serve_datagrams(DatagramHandler handler);

  /// For daemons whose work does not come in sessions (qmgr): the process is not idle while one of these lives.
  [[nodiscard]] std::shared_ptr<void> keep_busy();
  /// Background tasks of the daemon; cancelled and joined before run() returns.
  [[nodiscard]] net::TaskGroup& background();

  /// Hooks, each called at most once, on the loop; set them before the first serve_*.
  void on_drain(std::function<void()> hook);
  void on_shutdown(std::function<void()> hook);
  /// Called for each wakeup of master's timer when serve_triggers is not used.
  void on_wakeup(std::function<void()> hook);
  /// Called at once and whenever master changes how many sessions this process may have: for programs that keep
  /// something open between sessions which counts for the service's limit.
  void on_quota(std::function<void(std::uint32_t sessions)> hook);

  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  struct Impl;
  explicit Context(std::unique_ptr<Impl> impl);

 private:
  friend class SessionContext;
  std::unique_ptr<Impl> impl_;
};

/// Whole life of a daemon process; the value is its exit status. Started by hand it says so and returns 1.
[[nodiscard]] int run(int argc, char** argv, const Options& options, Serve serve);

}  // namespace stagepost::daemon
