// What this build can do, as postconf lists it: lock types, table types, SASL types, TLS.
#pragma once

#include "base/result.hpp"
#include "commands/postconf/options.hpp"
#include "commands/postconf/parameters.hpp"

namespace stagepost::postconf {

/// One name per line. A mode of -T that does not exist is a warning and Output::status 1.
[[nodiscard]] Result<Output> show_features(const Options& options);

}  // namespace stagepost::postconf
