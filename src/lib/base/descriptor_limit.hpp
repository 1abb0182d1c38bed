// The number of descriptors this process may have.
#pragma once

#include <sys/resource.h>

namespace stagepost::sys {

/// As many as the system allows without privileges: thousands of sessions need one each. A failure leaves the limit.
inline void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) { return; }
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace stagepost::sys
