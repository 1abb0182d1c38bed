// What anvil counts: events per (service, client) within a time unit, and open connections. Pure: the time is an
// argument.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/deadline.hpp"
#include "clients/anvil.hpp"

namespace stagepost::anvil {

using Event = clients::AnvilEvent::What;

class Counters {
 public:
  using Time = SteadyClock::time_point;
  /// Pairs remembered at most; beyond, the one with the oldest time unit goes, provided it has no open connection.
  static constexpr std::size_t kMaxClients = 500'000;

  /// `unit`: anvil_rate_time_unit.
  explicit Counters(std::chrono::seconds unit) : unit_(unit) {}

  /// Counts and returns what is known of the pair now. `process`: who holds the connection, so that connections of a
  /// process that died can be given back.
  [[nodiscard]] clients::AnvilReply count(Event event, std::string_view service, std::string_view client, int process,
                                          Time now);
  /// The process is gone: its open connections are closed.
  void forget_process(int process);
  [[nodiscard]] std::vector<int> processes() const;
  /// Drops pairs without open connections whose time unit is over.
  void expire(Time now);
  [[nodiscard]] std::size_t size() const { return clients_.size(); }

  /// Highest values since the last call, as log lines without their prefix.
  [[nodiscard]] std::vector<std::string> take_statistics();

 private:
  struct Client {
    std::uint32_t connections = 0;
    std::uint32_t connects = 0, messages = 0, recipients = 0, new_tls = 0, auth = 0;
    Time since{};
  };
  struct Peak {
    std::uint32_t value = 0;
    std::string who;
    std::time_t when = 0;
  };
  void note(const char* what, std::uint32_t value, const std::string& who);
  void make_room(Time now);

  std::chrono::seconds unit_;
  std::unordered_map<std::string, Client> clients_;                     // "service:client"
  std::map<int, std::unordered_map<std::string, std::uint32_t>> open_;  // process -> pair -> connections
  std::map<std::string_view, Peak> peaks_;                              ///< keys are literals
};

}  // namespace stagepost::anvil
