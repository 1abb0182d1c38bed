// Giving up root: user, groups, root directory, capabilities. Each step is checked, because going on with too many
// rights is worse than not starting.
#pragma once

#include <string>

#include "base/result.hpp"

namespace stagepost::daemon {

struct PrivilegePlan {
  std::string user;              ///< account to become; empty: stay who we are
  std::string chroot_directory;  ///< empty: none
  /// For daemons that become the recipient: keep only the capabilities for that.
  bool keep_become_user = false;
};

/// Root: chroot, then initgroups/setgid/setuid, and a test that there is no way back. Without root (a mail system run
/// by an ordinary user) it does nothing: there is nothing to give up.
[[nodiscard]] Result<> drop_privileges(const PrivilegePlan& plan);

}  // namespace stagepost::daemon
