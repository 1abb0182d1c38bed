// master's command line. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace stagepost::master {

struct Options {
  std::string config_directory;                   ///< -c; empty: MAIL_CONFIG or the built-in one
  bool debug = false;                             ///< -D
  bool keep_stdio = false;                        ///< -d: keep stdin, stdout, stderr and the session
  std::optional<std::chrono::seconds> exit_time;  ///< -e
  bool init = false;                              ///< -i: process 1
  bool keep_stdout = false;                       ///< -s
  bool test_lock = false;                         ///< -t
  unsigned verbosity = 0;                         ///< -v
  bool wait = false;                              ///< -w
};

/// `arguments` without the program name. Error: the usage line.
[[nodiscard]] Result<Options> parse_options(const std::vector<std::string>& arguments);

}  // namespace stagepost::master
