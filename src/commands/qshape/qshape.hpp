// qshape(1): how many recipients or messages of the queue belong to which domain, and how old they are.
#pragma once

namespace stagepost::qshape {

/// Exit status: 0, or 1 after a fatal error.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::qshape
