// Defaults that depend on the host: its name and its networks. Private to the snapshot, which asks only when main.cf
// does not say.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::config {

/// gethostname(2), "localhost" when the system has none.
[[nodiscard]] std::string host_name();
/// What follows the first dot of `host`; "localdomain" when there is none.
[[nodiscard]] std::string domain_of(std::string_view host);

/// Value of mynetworks for a mynetworks_style (host, subnet, class) and the interfaces that inet_interfaces (all,
/// loopback-only, names or addresses) and inet_protocols (all, ipv4, ipv6) leave: "127.0.0.0/8 [::1]/128".
[[nodiscard]] Result<std::string> own_networks(std::string_view style, std::string_view inet_interfaces,
                                               std::string_view inet_protocols);

}  // namespace stagepost::config
