// The command line of postconf(1).
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace stagepost::postconf {

/// What a run is about: main.cf (-p), master.cf (-M, -F, -P), or one of the lists.
enum class Subject : unsigned char {
  parameters,
  services,
  fields,
  service_parameters,
  sasl_server_types,  // -a
  sasl_client_types,  // -A
  report_texts,       // -b
  report_templates,   // -t
  lock_types,         // -l
  table_types,        // -m
  tls_features,       // -T
};

struct Options {
  Subject subject = Subject::parameters;
  bool defaults = false;     // -d
  bool edit = false;         // -e, or an argument with "="
  bool fold = false;         // -f
  bool hide_name = false;    // -h
  bool hide_value = false;   // -H
  bool json = false;         // -j
  bool only_set = false;     // -n
  bool expand = false;       // -x
  bool inherited = false;    // -P twice: parameters that master.cf does not set, too
  bool exclude = false;      // -X
  bool comment_out = false;  // -#
  /// -C builtin, service, user; without -C all of them.
  std::set<std::string, std::less<>> classes{"builtin", "service", "user"};
  std::string tls_mode;  // -T
  /// -c; empty: MAIL_CONFIG or the built-in directory.
  std::string config_directory;
  std::vector<std::pair<std::string, std::string>> overrides;  // -o
  std::vector<std::string> arguments;

  [[nodiscard]] bool changes_file() const { return edit || exclude || comment_out; }
};

/// Error: an unknown option, two that exclude each other, or an argument that does not fit them. An unknown option's
/// message has two lines, the second being the usage.
[[nodiscard]] Result<Options> parse_options(const std::vector<std::string>& arguments);

}  // namespace stagepost::postconf
