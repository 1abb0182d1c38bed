// smtp-sink(1): takes messages and throws them away, for tests and measurements.
#pragma once

namespace stagepost::smtp_sink {

/// The program; returns its exit status.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace stagepost::smtp_sink
