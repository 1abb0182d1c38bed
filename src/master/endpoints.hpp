// Which sockets a service listens on: master.cf names, inet_interfaces and inet_protocols turned into addresses and
// paths. Name look-ups are handed in, so everything here is pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/master_cf.hpp"
#include "net/endpoint.hpp"

namespace stagepost::master {

/// One listening socket. The key is its identity over reloads.
struct ListenSpec {
  config::ServiceType type = config::ServiceType::inet;
  net::Endpoint endpoint;  ///< inet
  std::string path;        ///< others, relative to queue_directory: "private/rewrite"
  [[nodiscard]] std::string key() const;
};

struct InetSettings {
  std::vector<std::string> interfaces;  ///< inet_interfaces, split
  bool ipv4 = true;
  bool ipv6 = true;
  std::string known_tcp_ports;  ///< "lmtp=24, smtp=25, ..."
};

struct NameLookup {
  /// Addresses of a host name or address literal.
  std::function<Result<std::vector<net::IpAddress>>(const std::string&)> host;
  /// Addresses of this host's loopback interfaces.
  std::function<Result<std::vector<net::IpAddress>>()> loopback;
  /// Port of a service name that known_tcp_ports does not have.
  std::function<Result<std::uint16_t>(const std::string&)> port;
};
/// getaddrinfo, getifaddrs and the services database.
[[nodiscard]] NameLookup system_lookup();

/// inet_protocols ("all", "ipv4", "ipv4, ipv6").
[[nodiscard]] Result<> set_protocols(InetSettings& settings, const std::vector<std::string>& inet_protocols);
/// Sockets of one master.cf entry. Error: an unknown host or port, or an address of a switched-off protocol only.
[[nodiscard]] Result<std::vector<ListenSpec>> listen_specs(const config::ServiceEntry& entry,
                                                           const InetSettings& settings, const NameLookup& lookup);
/// Only loopback addresses: such a service has no outside clients and no stress mode.
[[nodiscard]] bool loopback_only(const std::vector<ListenSpec>& specs);

/// master_service_disable: "inet", "smtp/inet" or the older "smtp.inet"; "!" in front exempts; the first match counts.
[[nodiscard]] bool service_disabled(const config::ServiceEntry& entry, const std::vector<std::string>& patterns);

}  // namespace stagepost::master
