// Files that the C library wants inside the queue directory when daemons are confined there (chroot column of
// master.cf).
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/master_cf.hpp"

namespace stagepost::postfix {

/// Does any service run in a chroot?
[[nodiscard]] bool uses_chroot(const config::MasterCf& master_cf);

/// Copies what differs of resolv.conf, hosts, nsswitch.conf and services from `etc` to `queue_directory`/etc, readable
/// by all. Daemons read their tables, certificates and resolv.conf before they enter the chroot; this is for what the C
/// library opens later (smtp_host_lookup = native, names of ports). What is missing in `etc` is skipped. Returns the
/// names copied.
[[nodiscard]] Result<std::vector<std::string>> fill_chroot(const std::string& etc, const std::string& queue_directory);

}  // namespace stagepost::postfix
