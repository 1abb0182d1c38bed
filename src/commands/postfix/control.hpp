// postfix(1): carries out one command on one mail system.
#pragma once

namespace stagepost::postfix {

/// Exit status: 0 done, 1 failed or not running, the status of postqueue for flush.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::postfix
