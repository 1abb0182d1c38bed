// Locks on queue files: a whole-file advisory lock (flock), exclusive, as Postfix takes it. qmgr and delivery agents
// use it to notice that another process still works on the same message.
#pragma once

#include "base/result.hpp"

namespace stagepost::queue {

/// Takes the lock or fails at once with resource_unavailable_try_again when another open file has it.
[[nodiscard]] Result<> try_lock(int fd);
[[nodiscard]] Result<> try_lock_shared(int fd);
[[nodiscard]] Result<> unlock(int fd);

}  // namespace stagepost::queue
