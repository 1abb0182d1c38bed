// Who may use a command: authorized_submit_users, authorized_mailq_users, authorized_flush_users.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "config/snapshot.hpp"

namespace stagepost::maps {

/// Is this login name in the list that the parameter holds? Waits for servers where the list names tables that have
/// some. Error: the list is malformed or a table failed; nobody may be turned away or let in for that.
[[nodiscard]] Result<bool> user_is_listed(const config::SnapshotPtr& config, std::string_view parameter,
                                          const std::string& user);

}  // namespace stagepost::maps
