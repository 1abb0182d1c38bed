// Reports events to anvil in order and without making sessions wait.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "clients/anvil.hpp"
#include "net/task_group.hpp"

namespace stagepost::smtpd {

class AnvilReporter {
 public:
  using KeepBusy = std::function<std::shared_ptr<void>()>;
  /// `group` (joined by its owner before this object dies) runs the sender, which ends when nothing is left to report
  /// and holds what `keep_busy` returns meanwhile.
  AnvilReporter(net::EventLoop& loop, const config::Snapshot& config, net::TaskGroup& group, KeepBusy keep_busy,
                std::string service);
  /// Past kPending events new ones are dropped: counting is not worth memory.
  void report(clients::AnvilEvent::What event, const std::string& client_address);

 private:
  static constexpr std::size_t kPending = 10000;
  net::Task<> send_all(std::shared_ptr<void> busy);

  clients::AnvilClient anvil_;
  net::TaskGroup& group_;
  KeepBusy keep_busy_;
  std::string service_;
  std::deque<clients::AnvilEvent> pending_;
  bool sending_ = false;
  bool failing_ = false;
};

}  // namespace stagepost::smtpd
