// Memory of coroutine frames. A daemon makes and ends hundreds of them for each message, a handful of sizes again and
// again, so those just freed are kept for the next ones.
#pragma once

#include <cstddef>

namespace stagepost::net {

/// As operator new; throws std::bad_alloc. The frame is freed on the thread that made it.
[[nodiscard]] void* allocate_frame(std::size_t size_bytes);
void free_frame(void* frame, std::size_t size_bytes) noexcept;

}  // namespace stagepost::net
