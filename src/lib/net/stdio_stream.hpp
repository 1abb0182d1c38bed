// A stream over two descriptors that others may share (standard input and output of a command): pipes, terminals, files
// or a socket. They stay blocking, because O_NONBLOCK would hold for everyone who has them.
#pragma once

#include <memory>

#include "net/stream.hpp"

namespace stagepost::net {

/// The descriptors stay the caller's. Waits in place, without the loop: for a process that serves nobody else.
[[nodiscard]] std::unique_ptr<Stream> make_stdio_stream(int input, int output);

}  // namespace stagepost::net
