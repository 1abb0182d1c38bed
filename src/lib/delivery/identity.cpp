#include "delivery/identity.hpp"

#include <grp.h>
#include <string>
#include <unistd.h>

#include "base/assert.hpp"

namespace stagepost::delivery {

Result<ActAs> ActAs::begin(const Identity& identity) {
  if (::geteuid() != 0) { return ActAs(false); }
  const std::string who = std::to_string(identity.uid) + "/" + std::to_string(identity.gid);
  ActAs acting(true);  // restores root also when only a part of the switch worked
  if (::setgroups(1, &identity.gid) != 0) { return errno_failure("set groups of UID/GID=" + who); }
  if (::setegid(identity.gid) != 0 || ::seteuid(identity.uid) != 0) { return errno_failure("become UID/GID=" + who); }
  return acting;
}

ActAs::~ActAs() {
  if (!switched_) { return; }
  const gid_t root_group = 0;
  SP_ASSERT(::seteuid(0) == 0 && ::setegid(0) == 0 && ::setgroups(1, &root_group) == 0);
}

}  // namespace stagepost::delivery
