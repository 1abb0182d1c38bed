// postmulti(1): carries out one command for several instances, and manages the list of instances.
#pragma once

namespace stagepost::postmulti {

/// Exit status: 0, or 1 after a fatal error or when the command failed for one instance.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::postmulti
