// The servers of one table: in which order they are tried, and which are left alone for a while because they failed.
// Shared by the threads that ask them.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"

namespace stagepost::maps {

class HostList {
 public:
  enum class Order {
    as_listed,
    random,             ///< each time anew
    local_then_random,  ///< those in `local` first
  };
  struct Host {
    std::string name;  ///< for messages and for who connects
    bool local = false;
  };

  /// A host that failed is not tried for `retry`; the only host is always tried.
  HostList(std::vector<Host> hosts, Order order, std::chrono::seconds retry);

  [[nodiscard]] std::size_t size() const { return hosts_.size(); }
  [[nodiscard]] const std::string& name(std::size_t host) const { return hosts_[host].name; }

  /// Places of the hosts to try now. Empty: all failed a short time ago; reasons() says how.
  [[nodiscard]] std::vector<std::size_t> candidates(SteadyClock::time_point now = SteadyClock::now()) const;
  void failed(std::size_t host, std::string reason, SteadyClock::time_point now = SteadyClock::now());
  void succeeded(std::size_t host);
  /// "host a: reason; host b: reason", of those that failed.
  [[nodiscard]] std::string reasons() const;

 private:
  struct State {
    std::optional<SteadyClock::time_point> retry_at;
    std::string reason;
  };
  std::vector<Host> hosts_;
  Order order_;
  std::chrono::seconds retry_;
  mutable std::mutex mutex_;
  std::vector<State> states_;
};

/// What is said about a failure of one host.
[[nodiscard]] std::string host_failure(std::string_view host, std::string_view reason);

}  // namespace stagepost::maps
