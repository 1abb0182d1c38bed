// Reports events to anvil in order and without making sessions wait.
#pragma once

#include <deque>
#include <string>

#include "clients/anvil.hpp"
#include "net/task_group.hpp"

namespace stagepost::smtpd {

class AnvilReporter {
 public:
  /// `group` (joined by its owner before this object dies) runs the sender, which ends when nothing is left to report.
  AnvilReporter(net::EventLoop& loop, const config::Snapshot& config, net::TaskGroup& group, std::string service);
  /// Past kPending events new ones are dropped: counting is not worth memory.
  void report(clients::AnvilRequest::Event event, const std::string& client_address);

 private:
  static constexpr std::size_t kPending = 10000;
  struct Item {
    clients::AnvilRequest::Event event;
    std::string client;
  };
  net::Task<> send_all();

  clients::AnvilClient anvil_;
  net::TaskGroup& group_;
  std::string service_;
  std::deque<Item> pending_;
  bool sending_ = false;
  bool failing_ = false;
};

}  // namespace stagepost::smtpd
