// Acting as the recipient: local and virtual run as root and take the recipient's user and group for every access to a
// mailbox. One recipient at a time per process (DESIGN: isolated), so the process-wide effective ids are safe to
// switch.
#pragma once

#include <sys/types.h>

#include "base/result.hpp"

namespace stagepost::delivery {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  bool operator==(const Identity&) const = default;
};

/// Effective ids of the recipient while it lives, root's again afterwards. A process that is not root (rootless mode)
/// stays who it is: everything belongs to that user.
class ActAs {
 public:
  [[nodiscard]] static Result<ActAs> begin(const Identity& identity);
  ActAs(ActAs&& other) noexcept : switched_(other.switched_) { other.switched_ = false; }
  ActAs& operator=(ActAs&&) = delete;
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;
  /// A process that cannot become root again must not go on: that is a broken invariant.
  ~ActAs();

 private:
  explicit ActAs(bool switched) : switched_(switched) {}
  bool switched_;
};

}  // namespace stagepost::delivery
