// Services of master.cf whose program is not installed. A stock master.cf names programs of Postfix that a release of
// ours may not have; who does not use their services needs no warning at each start.
#pragma once

#include <string>
#include <vector>

#include "config/master_cf.hpp"
#include "config/snapshot.hpp"

namespace stagepost::postfix {

/// One line for each program, with the lines of its services. A program that Postfix has counts only when its service
/// is used: it listens on the network, or a value of main.cf or -o names it (a transport, "proxy:", address
/// verification). Any other name is a mistake, with the nearest program that there is.
[[nodiscard]] std::vector<std::string> missing_programs(const config::Snapshot& config, const config::MasterCf& master);

}  // namespace stagepost::postfix
