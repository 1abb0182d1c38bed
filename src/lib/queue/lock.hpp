// Locks on queue files: whole-file advisory locks (flock), as Postfix takes them. A delivery agent holds a shared lock
// on the message it works on; qmgr takes an exclusive one to see whether an agent of an earlier life still does.
#pragma once

#include "base/result.hpp"

namespace stagepost::queue {

/// Takes the exclusive lock, or fails at once with resource_unavailable_try_again when another open file holds a lock.
[[nodiscard]] Result<> try_lock(int fd);
[[nodiscard]] Result<> try_lock_shared(int fd);
[[nodiscard]] Result<> unlock(int fd);

}  // namespace stagepost::queue
