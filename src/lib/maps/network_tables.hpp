// Tables that ask a server: tcp: (tcp_table(5)) and socketmap: (socketmap_table(5)). They need an event loop.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// `name`: "host:port". Error: syntax; no loop.
[[nodiscard]] Result<std::unique_ptr<Table>> open_tcp(std::string_view name, const OpenContext& context);
/// `name`: "inet:host:port:name" or "unix:pathname:name". Error: syntax; no loop.
[[nodiscard]] Result<std::unique_ptr<Table>> open_socketmap(std::string_view name, const OpenContext& context);

}  // namespace stagepost::maps
