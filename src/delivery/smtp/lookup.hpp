// Finds the servers of a destination: MX, addresses, loop detection, order. What the answers mean for mail (bounce or
// try again) is decided here; the asking is the resolver's.
#pragma once

#include <expected>
#include <random>
#include <vector>

#include "delivery/smtp/destination.hpp"
#include "delivery/smtp/failure.hpp"
#include "dns/resolver.hpp"

namespace stagepost::smtp_client {

using Servers = std::expected<std::vector<Candidate>, Failure>;

class ServerLookup {
 public:
  ServerLookup(dns::Resolver& resolver, const Settings& settings, Self self);

  /// In the order in which they are to be tried; never empty. Failure: no such domain, null MX (RFC 7505), only
  /// ourselves, DNS trouble. `destination` is not a UNIX-domain socket.
  [[nodiscard]] net::Task<Servers> find(Destination destination);

 private:
  [[nodiscard]] net::Task<dns::HostAddresses> addresses(std::string host, Deadline deadline);
  [[nodiscard]] net::Task<Servers> find_mx(Destination destination, Deadline deadline);
  [[nodiscard]] net::Task<Servers> find_host(std::string host, Deadline deadline);
  [[nodiscard]] net::Task<Servers> addresses_of_mx(std::vector<dns::Record> records, Deadline deadline);

  dns::Resolver& resolver_;
  const Settings& settings_;
  Self self_;
  std::mt19937 random_;
};

/// inet_interfaces and proxy_interfaces as addresses ("all", "loopback-only", names and addresses). Names are looked up
/// by the system; what can't be found is left out with a warning.
[[nodiscard]] Self find_self(const config::Snapshot& config);

}  // namespace stagepost::smtp_client
