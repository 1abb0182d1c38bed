#include "delivery/local/names.hpp"

#include <array>
#include <optional>
#include <paths.h>
#include <utility>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "config/environment.hpp"
#include "config/expansion.hpp"

namespace stagepost::local {
namespace {

std::optional<std::string_view> value_of(std::string_view name, const Names& names) {
  const std::array<std::pair<std::string_view, std::string_view>, 8> known{{
      {"user", names.user},
      {"home", names.home},
      {"shell", names.shell},
      {"local", names.local},
      {"domain", names.domain},
      {"recipient", names.recipient},
      {"extension", names.extension},
      {"recipient_delimiter", names.recipient_delimiter},
  }};
  for (const auto& [known_name, value] : known) {
    if (known_name == name && !value.empty()) { return value; }
  }
  return std::nullopt;
}

}  // namespace

Result<Expanded> expand_names(std::string_view text, const Names& names, std::string_view filter) {
  Expanded expanded;
  const config::Lookup lookup = [&](std::string_view name) -> Result<std::optional<std::string>> {
    const auto value = value_of(name, names);
    if (!value) { return std::nullopt; }
    if (name == "extension") { expanded.used_extension = true; }
    if (filter.empty()) { return std::string(*value); }
    return ShellWord(PeerBytes(*value), filter).str();
  };
  SP_TRY(expanded.text, config::expand(text, lookup));
  return expanded;
}

std::vector<std::string> command_environment(const CommandFacts& facts, const std::vector<std::string>& exported,
                                             std::string_view filter) {
  std::vector<std::string> environment{"PATH=" _PATH_DEFPATH};
  const auto trusted = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) { environment.push_back(std::string(name) + "=" + value); }
  };
  const auto filtered = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) { environment.push_back(std::string(name) + "=" + ShellWord(PeerBytes(value), filter).str()); }
  };
  for (const std::string& item : exported) {
    if (!item.starts_with("PATH=")) { environment.push_back(item); }
  }
  trusted("HOME", facts.names.home);
  trusted("SHELL", facts.names.shell);
  filtered("LOGNAME", facts.names.user);
  filtered("USER", facts.names.user);
  filtered("LOCAL", facts.names.local);
  filtered("DOMAIN", facts.names.domain);
  filtered("EXTENSION", facts.names.extension);
  filtered("RECIPIENT", facts.names.recipient);
  filtered("ORIGINAL_RECIPIENT", facts.original_recipient);
  // A command must be able to tell the null sender from no information.
  environment.push_back("SENDER=" + ShellWord(PeerBytes(facts.sender), filter).str());
  filtered("ENVID", facts.envid);
  filtered("CLIENT_ADDRESS", facts.client_address);
  filtered("CLIENT_HELO", facts.client_helo);
  filtered("CLIENT_HOSTNAME", facts.client_hostname);
  filtered("CLIENT_PROTOCOL", facts.client_protocol);
  filtered("SASL_METHOD", facts.sasl_method);
  filtered("SASL_SENDER", facts.sasl_sender);
  filtered("SASL_USERNAME", facts.sasl_username);
  return environment;
}

std::vector<std::string> exported_environment(const std::vector<std::string>& items, EnvironmentLookup lookup) {
  std::vector<std::string> exported;
  for (const std::string& piece : items) {
    const auto item = config::parse_environment_item(piece);
    if (!item || !*item) { continue; }
    const auto& [name, set] = **item;
    if (set) {
      exported.push_back(name + "=" + *set);
    } else if (const char* value = lookup(name.c_str()); value != nullptr) {
      exported.push_back(name + "=" + value);
    }
  }
  return exported;
}

}  // namespace stagepost::local
