// master.cf as postconf shows and changes it: -M (entries), -F (fields), -P (parameters).
#pragma once

#include "base/result.hpp"
#include "commands/postconf/options.hpp"
#include "commands/postconf/parameters.hpp"

namespace stagepost::postconf {

[[nodiscard]] Result<Output> show_services(const Options& options);
/// Warnings: requests that match no service.
[[nodiscard]] Result<Output> change_services(const Options& options);

}  // namespace stagepost::postconf
