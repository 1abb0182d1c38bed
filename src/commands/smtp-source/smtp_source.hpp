// smtp-source(1): many SMTP sessions at once, for tests and measurements.
#pragma once

namespace stagepost::smtp_source {

/// The program; returns its exit status.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::smtp_source
