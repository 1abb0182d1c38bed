// Opens the sockets and FIFOs of ListenSpecs.
#pragma once

#include <optional>
#include <sys/types.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "master/endpoints.hpp"

namespace stagepost::master {

/// Owner of sockets below private/ and public/; empty when master does not run as root.
struct SocketOwner {
  uid_t uid = 0;
  gid_t gid = 0;
};

/// Binds and listens, non-blocking, close-on-exec. Paths are relative to the current (queue) directory; what is left
/// there of an earlier run is replaced. Error text as administrators know it: "bind 127.0.0.1 port 25: Address already
/// in use".
[[nodiscard]] Result<unique_fd> open_listener(const ListenSpec& spec, const std::optional<SocketOwner>& owner);

}  // namespace stagepost::master
