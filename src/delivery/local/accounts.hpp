// UNIX accounts (getpwnam and friends), which may ask a directory service: a failed look-up is an error, never "no such
// user". These calls block.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "delivery/identity.hpp"

namespace stagepost::local {

struct Account {
  std::string name;
  delivery::Identity identity;
  std::string home;
  std::string shell;
};

[[nodiscard]] Result<std::optional<Account>> find_account(const std::string& name);
[[nodiscard]] Result<std::optional<Account>> find_account(uid_t uid);

}  // namespace stagepost::local
