// `postfix upgrade-configuration`: services that a master.cf of an older release lacks.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/master_cf.hpp"

namespace stagepost::postfix {

struct ServiceUpgrade {
  std::string what;  ///< "adding missing entry for flush service"
  std::string name;
  std::string type;
  std::string entry;
};

/// What to change, in order. Nothing is removed, and no entry that listens on the network is added.
[[nodiscard]] std::vector<ServiceUpgrade> missing_services(const config::MasterCf& master);

/// Carries it out on `directory`/master.cf, one atomic replacement per service; `say` gets a line for each.
[[nodiscard]] Result<> upgrade_services(const std::string& directory, const std::function<void(std::string_view)>& say);

}  // namespace stagepost::postfix
