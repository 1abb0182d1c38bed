// How many sessions a process may have, and what it owes master about that. Pure: events in, messages out.
#pragma once

#include <cstdint>
#include <vector>

#include "ipc/supervision.hpp"

namespace stagepost::daemon {

class SessionGate {
 public:
  /// `max_use`: sessions after which the process retires; 0: no limit.
  SessionGate(ipc::Kind kind, std::uint32_t quota, std::uint64_t max_use);

  /// May another session begin now?
  [[nodiscard]] bool open() const { return !retiring_ && active_ < limit(); }
  [[nodiscard]] std::uint32_t active() const { return active_; }
  [[nodiscard]] std::uint64_t accepted() const { return accepted_; }
  /// Accepts nothing any more (drain, max_use, shutdown); over when active() is 0.
  [[nodiscard]] bool retiring() const { return retiring_; }
  [[nodiscard]] std::uint32_t limit() const;

  void session_began();
  void session_ended();
  void set_quota(std::uint32_t quota);
  void retire();

  /// Messages for master since the last call, in order.
  [[nodiscard]] std::vector<ipc::StatusMessage> take_messages();

 private:
  void report();

  ipc::Kind kind_;
  std::uint32_t quota_;
  std::uint64_t max_use_;
  std::uint32_t active_ = 0;
  std::uint64_t accepted_ = 0;
  bool retiring_ = false;
  bool told_full_ = false;
  bool told_busy_ = false;
  std::vector<ipc::StatusMessage> messages_;
};

}  // namespace stagepost::daemon
