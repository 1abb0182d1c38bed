// Locks that keep other writers away from a mailbox file: flock, fcntl, and a lock file beside it. Shared by the
// delivery agents and postlock(1).
#pragma once

#include <chrono>
#include <set>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace stagepost::delivery {

/// How the file is locked against other writers (parameters mailbox_delivery_lock, virtual_mailbox_lock).
enum class LockStyle { flock, fcntl, dotlock };
/// Unknown words are an error, which names `parameter`.
[[nodiscard]] Result<std::set<LockStyle>> parse_lock_styles(std::string_view list,
                                                            std::string_view parameter = "mailbox_delivery_lock");

struct LockPolicy {
  std::set<LockStyle> styles{LockStyle::fcntl, LockStyle::dotlock};
  unsigned attempts = 20;                     ///< deliver_lock_attempts
  std::chrono::seconds delay{1};              ///< deliver_lock_delay
  std::chrono::seconds stale_lock_time{500};  ///< stale_lock_time
};

/// "mailbox.lock" beside the mailbox; removed when this goes away.
class DotLock {
 public:
  /// Blocks, up to attempts * delay. A lock file whose status did not change for longer than stale_lock_time is
  /// removed. Error: resource_unavailable_try_again while somebody else has it, others when it cannot be made.
  [[nodiscard]] static Result<DotLock> acquire(const std::string& mailbox, const LockPolicy& policy);
  DotLock(DotLock&& other) noexcept;
  DotLock& operator=(DotLock&&) = delete;
  ~DotLock();

 private:
  explicit DotLock(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// The flock and fcntl locks of the policy on an open file, for as long as it is open. Blocks, up to attempts * delay;
/// then resource_unavailable_try_again.
[[nodiscard]] Result<> lock_mailbox(int fd, const std::string& path, const LockPolicy& policy);

}  // namespace stagepost::delivery
