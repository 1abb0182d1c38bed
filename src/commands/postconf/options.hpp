// The command line of postconf(1).
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace stagepost::postconf {

enum class Subject : unsigned char { parameters, services, fields, service_parameters };  // -p -M -F -P

struct Options {
  Subject subject = Subject::parameters;
  bool defaults = false;     // -d
  bool edit = false;         // -e, or an argument with "="
  bool fold = false;         // -f
  bool hide_name = false;    // -h
  bool hide_value = false;   // -H
  bool only_set = false;     // -n
  bool expand = false;       // -x
  bool exclude = false;      // -X
  bool comment_out = false;  // -#
  bool lock_types = false;   // -l
  /// -C builtin, service, user; empty: all.
  std::set<std::string, std::less<>> classes;
  /// -c; empty: MAIL_CONFIG or the built-in directory.
  std::string config_directory;
  std::vector<std::pair<std::string, std::string>> overrides;  // -o
  std::vector<std::string> arguments;

  [[nodiscard]] bool changes_file() const { return edit || exclude || comment_out; }
};

/// Error: an unknown option, two that exclude each other, or an argument that does not fit them.
[[nodiscard]] Result<Options> parse_options(const std::vector<std::string>& arguments);

}  // namespace stagepost::postconf
