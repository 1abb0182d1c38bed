// The command line of postqueue(1). Pure, but for getopt's state.
#pragma once

#include <optional>
#include <string>

namespace stagepost::postqueue {

enum class Action { none, list, list_json, flush_all, flush_site, flush_message };

struct Options {
  Action action = Action::none;
  std::string site_or_id;  ///< for flush_site, flush_message
  std::string config_directory;
  bool verbose = false;
};

inline constexpr const char* kUsage =
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

/// nullopt: not a command line we know (getopt has said what it did not like).
[[nodiscard]] std::optional<Options> parse_options(int argc, char** argv);

/// A domain name or an address literal, as -s takes it.
[[nodiscard]] bool is_site(const std::string& site);

}  // namespace stagepost::postqueue
