// The services of one mail system: their sockets, their children, and what happens to both at a reload and at the end.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "config/master_cf.hpp"
#include "config/snapshot.hpp"
#include "ipc/scoreboard.hpp"
#include "ipc/supervision.hpp"
#include "master/endpoints.hpp"
#include "master/listen_socket.hpp"
#include "master/reactor.hpp"
#include "master/service_pool.hpp"
#include "master/throttle.hpp"

namespace stagepost::master {

/// What is the same for every service; read at start and at every reload.
struct SystemConfig {
  config::SnapshotPtr main_cf;
  config::MasterCf master_cf;
  /// About defaults of a low compatibility_level; logged once the log is open.
  std::vector<std::string> notes = {};
};

struct SupervisorOptions {
  unsigned verbosity = 0;  ///< -v, handed on to children
  bool debug = false;      ///< -D
  std::optional<SocketOwner> owner;
  std::uint32_t cores = 1;
  /// (Re)opens the log as configured; also used in children whose exec failed.
  std::function<void()> reopen_log;
  /// Reads main.cf and master.cf again.
  std::function<Result<SystemConfig>()> load;
};

class Supervisor {
 public:
  Supervisor(Reactor& reactor, SupervisorOptions options);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Opens every socket. Error: one of them cannot be opened; the mail system must not start half.
  [[nodiscard]] Result<> start(SystemConfig config);
  /// Reads the configuration again. On an error everything stays as it is. No socket that both configurations have is
  /// closed in between, so no connection is refused.
  void reload();
  /// Tells the children to finish and stops the reactor when the last one is gone, after kStopLimit at the latest.
  void stop();
  /// SIGKILL to every child, then stops the reactor.
  void abort();
  /// Collects dead children (SIGCHLD), also such that were adopted as process 1.
  void reap();

  static constexpr std::chrono::seconds kStopLimit{8};
  /// For postlogd to write down what it has, when everything else is killed.
  static constexpr std::chrono::milliseconds kLoggerLimit{500};
  /// A service that was at its limit stays in stress mode this long after it was last there.
  static constexpr std::chrono::seconds kStressHold{60};

 private:
  struct Service {
    explicit Service(config::ServiceEntry e, PoolLimits limits, std::chrono::seconds throttle_time)
        : entry(std::move(e)), pool(limits), throttle(throttle_time) {}
    config::ServiceEntry entry;
    std::string program;  ///< path
    std::vector<ListenSpec> specs;
    std::vector<unique_fd> listeners;  ///< one for each of specs
    ServicePool pool;
    Throttle throttle;
    std::optional<Reactor::TimerId> throttle_timer;
    std::optional<Reactor::TimerId> wakeup_timer;
    std::optional<Reactor::TimerId> stress_timer;
    bool listening = false;
    bool used = false;
    bool wakeup_pending = false;
    bool stress = false;
    bool contended = false;
  };
  struct Child {
    Service* service = nullptr;  ///< null when a reload removed the service
    std::string program;
    unique_fd status;
    std::optional<ipc::Scoreboard> board = {};
    bool greeted = false;
    bool keeps_log = false;  ///< postlogd: told to stop last
  };

  [[nodiscard]] Result<std::vector<std::unique_ptr<Service>>> plan(const SystemConfig& config);
  [[nodiscard]] Result<std::unique_ptr<Service>> make_service(const config::ServiceEntry& entry,
                                                              const SystemConfig& config, const InetSettings& inet);
  [[nodiscard]] Result<> open_listeners(Service& service);
  void adopt(Service& old_service, Service& new_service);
  void retire_service(Service& service);
  void begin(Service& service);

  void update(Service& service);
  void listen(Service& service, bool on);
  void lift_throttle(Service& service);
  void arm_throttle(Service& service);
  void update_contended(Service& service);
  void update_stress(Service& service);
  void hold_stress(Service& service);
  void set_stress(Service& service, bool on);

  bool start_child(Service& service);
  void read_status(pid_t pid);
  void handle(pid_t pid, Child& child, const ipc::StatusMessage& message);
  void answer_idle(pid_t pid, Child& child);
  void close_status(Child& child);
  void tell(Child& child, const ipc::StatusMessage& message);
  void child_died(pid_t pid, int wait_status);
  void drain(Service& service);
  void shut_down(pid_t pid, Child& child);
  void continue_stop();

  void wakeup(Service& service);
  void schedule_wakeup(Service& service);
  [[nodiscard]] bool has_waiting_client(const Service& service) const;

  Reactor& reactor_;
  SupervisorOptions options_;
  config::SnapshotPtr main_cf_;
  std::vector<std::unique_ptr<Service>> services_;
  std::map<pid_t, Child> children_;
  bool stopping_ = false;
  bool last_words_ = false;  ///< a logger was started once more to write them
};

}  // namespace stagepost::master
