// The names that local(8) knows while it delivers to one recipient: $user, $home, $extension ... in forward_path,
// command_execution_directory and luser_relay, and the environment of commands. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stagepost::local {

struct Names {
  std::string user;                 ///< bare name, lower case
  std::string home;                 ///< empty without an account
  std::string shell;                ///< empty without an account
  std::string local;                ///< whole local-part, lower case
  std::string domain;               ///< lower case
  std::string recipient;            ///< local@domain as addressed
  std::string extension;            ///< as addressed, without delimiter; empty: none
  std::string recipient_delimiter;  ///< the one found, or the first of the parameter
};

struct Expanded {
  std::string text;
  bool used_extension = false;  ///< $extension had a value and is part of the text
};

/// Expands $name, ${name} and the conditional forms. Characters of values that are not in `filter` become '_'; an empty
/// filter lets all through (luser_relay). Unknown names have no value. Error: malformed text.
[[nodiscard]] Result<Expanded> expand_names(std::string_view text, const Names& names, std::string_view filter);

/// Everything a command may know about the message.
struct CommandFacts {
  Names names;
  std::string original_recipient;
  std::string sender;
  std::string envid;
  std::string client_address, client_helo, client_hostname, client_protocol;
  std::string sasl_method, sasl_sender, sasl_username;
};

/// The whole environment of a command. `exported`: what export_environment lets through, "NAME=value" each. Values
/// that come with the message keep only the characters of `filter` (command_expansion_filter), others become '_'.
/// Names without a value are left out, but for DOMAIN, LOCAL, USER and the like that always have one.
[[nodiscard]] std::vector<std::string> command_environment(const CommandFacts& facts,
                                                           const std::vector<std::string>& exported,
                                                           std::string_view filter);

/// export_environment as "NAME=value": items are names, taken from `lookup`, or name=value, in {} if they hold white
/// space.
using EnvironmentLookup = const char* (*)(const char* name);
[[nodiscard]] std::vector<std::string> exported_environment(const std::vector<std::string>& items,
                                                            EnvironmentLookup lookup);

}  // namespace stagepost::local
