// The command line a daemon is started with. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/snapshot.hpp"

namespace stagepost::daemon {

struct Arguments {
  std::string service_name;       ///< -n; the program's name without it
  std::string service_type;       ///< -t; empty: not started by master
  bool unprivileged = false;      ///< -u
  bool chroot = false;            ///< -c
  bool limit_one = false;         ///< -l: maxproc is 1
  bool no_limit = false;          ///< -z: maxproc is 0
  unsigned listeners = 1;         ///< -s
  unsigned verbosity = 0;         ///< -v
  bool debug = false;             ///< -D
  config::Overrides overrides;    ///< -o name=value
  std::vector<std::string> rest;  ///< the program's own: "flags=DRhu", "user=vmail", "argv=..."
};

/// `arguments` without the program's name. Options end at the first argument that is none; "--" is skipped. Error: an
/// unknown option, a missing value, a -o without "=" or with an empty name, a bad number.
[[nodiscard]] Result<Arguments> parse_arguments(const std::vector<std::string>& arguments, std::string_view program);

}  // namespace stagepost::daemon
