// How many processes a service gets and how many sessions each may serve, so that maxproc bounds the sessions of the
// whole service. Pure: what children say goes in, what master should do comes out. docs/architecture-processes.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "ipc/supervision.hpp"

namespace stagepost::master {

struct PoolLimits {
  std::uint32_t maxproc = 100;  ///< master.cf column; 0: no limit
  std::uint32_t process_session_limit = 1000;
  std::uint32_t cores = 1;
};

class ServicePool {
 public:
  explicit ServicePool(PoolLimits limits) : limits_(limits) {}

  /// Processes of a pooled service when it is at work: max(min(cores, maxproc), ceil(maxproc / process_session_limit)).
  [[nodiscard]] std::uint32_t planned_processes() const;
  /// Quota for a child started now; 0: none may start.
  [[nodiscard]] std::uint32_t next_quota() const;

  void child_started(pid_t child, std::uint32_t quota);
  /// What a child reported. False: not allowed in its state (no hello yet, a second hello, an unknown child).
  [[nodiscard]] bool child_said(pid_t child, const ipc::StatusMessage& message);
  /// Master told the child to drain or answered "go": it takes no more clients once it has heard that.
  void child_dismissed(pid_t child);
  void child_exited(pid_t child);

  /// Nobody can take a client that arrives now, but a new child may be started for it.
  [[nodiscard]] bool should_listen() const { return !someone_available() && next_quota() > 0; }
  /// Every running child is busy and there are fewer than planned: start another before the next client has to wait.
  [[nodiscard]] bool wants_another() const;
  /// All sessions maxproc allows are in use.
  [[nodiscard]] bool at_limit() const;
  [[nodiscard]] bool someone_available() const;
  /// Running and not on its way out: may be sent a wakeup.
  [[nodiscard]] bool accepts_work(pid_t child) const;

  /// Quotas to be told to running children because places became free.
  [[nodiscard]] std::vector<std::pair<pid_t, std::uint32_t>> take_raised_quotas();

  [[nodiscard]] std::size_t size() const { return children_.size(); }
  [[nodiscard]] PoolLimits limits() const { return limits_; }
  /// After a reload. Running children keep their quotas until they have drained.
  void set_limits(PoolLimits limits) { limits_ = limits; }
  /// After a reload that changed the program: what was learnt about its kind no longer holds.
  void forget_kind() { kind_.reset(); }

 private:
  enum class State : std::uint8_t { starting, serving, retiring };
  struct Child {
    State state = State::starting;
    ipc::Kind kind = ipc::Kind::pooled;
    std::uint32_t quota = 0;
    std::uint32_t sessions = 0;  ///< while retiring
    bool overlap = false;
    bool full = false;
    bool busy = false;
    bool dismissed = false;
  };
  [[nodiscard]] std::uint64_t claimed(const Child& child) const;
  [[nodiscard]] std::uint64_t remaining() const;
  [[nodiscard]] std::uint32_t share() const;
  [[nodiscard]] static bool available(const Child& child);

  PoolLimits limits_;
  std::optional<ipc::Kind> kind_;  ///< of the last child that greeted
  std::map<pid_t, Child> children_;
};

}  // namespace stagepost::master
