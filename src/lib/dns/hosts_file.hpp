// The hosts file (hosts(5)): names and addresses that the administrator fixed on this machine. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "net/endpoint.hpp"

namespace stagepost::dns {

class HostsFile {
 public:
  /// Malformed lines are skipped, as the system's resolver does. At most `limit_lines` lines count.
  [[nodiscard]] static HostsFile parse(std::string_view text, std::size_t limit_lines = 10000);

  /// The canonical (first) name of the first line with this address; empty if there is none.
  [[nodiscard]] std::string name_of(const net::IpAddress& address) const;
  /// Addresses of all lines that have this name, case-insensitive, in file order.
  [[nodiscard]] std::vector<net::IpAddress> addresses_of(std::string_view name) const;

 private:
  std::map<net::IpAddress, std::string> names_;
  std::map<std::string, std::vector<net::IpAddress>, std::less<>> addresses_;
};

}  // namespace stagepost::dns
