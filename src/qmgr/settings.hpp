// The parameters of qmgr as typed values, read once.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "config/snapshot.hpp"
#include "qmgr/backoff.hpp"
#include "qmgr/routing.hpp"
#include "qmgr/scheduler.hpp"
#include "queue/directory.hpp"
#include "queue/journal_format.hpp"

namespace stagepost::qmgr {

/// maxproc of each unix service of master.cf: how many deliveries a transport can have at once.
using ServiceLimits = std::map<std::string, std::size_t, std::less<>>;
/// Deliveries at once for a service without a limit in master.cf.
inline constexpr std::size_t kUnlimitedDeliveries = 1000;

struct Settings {
  RetryRules retry;
  SchedulerRules scheduler;
  RoutingRules routing;
  std::size_t message_active_limit = 20000;
  std::size_t message_recipient_limit = 20000;
  std::size_t message_recipient_minimum = 10;
  std::chrono::seconds queue_run_delay{300};
  std::chrono::seconds daemon_timeout{18000};
  bool verp_bounces = true;        ///< not disable_verp_bounces
  int delay_decimals = 2;          ///< delay_logging_resolution_limit
  bool external_addresses = true;  ///< info_log_address_format
  queue::Hashing hashing;
  config::SnapshotPtr config;
  ServiceLimits services;
  bool queue_journal = true;
  queue::journal::BootId boot_id{};  ///< of the running kernel, from prepare()

  /// Error: a feedback parameter that does not parse.
  [[nodiscard]] static Result<Settings> from(config::SnapshotPtr config, ServiceLimits services);
  [[nodiscard]] TransportRules transport(std::string_view name) const;
  [[nodiscard]] std::size_t recipient_limit(std::string_view transport) const;
};

/// Reads them from master.cf in `config`'s directory.
[[nodiscard]] Result<ServiceLimits> read_service_limits(const config::Snapshot& config);

}  // namespace stagepost::qmgr
