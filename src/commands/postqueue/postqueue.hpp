// postqueue(1): lists the queue and asks for delivery now. Installed set-group-ID, so that every user may ask.
#pragma once

namespace stagepost::postqueue {

/// The exit status: 0, or EX_UNAVAILABLE (69) after saying why on standard error.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::postqueue
