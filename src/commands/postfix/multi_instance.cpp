// See the header.
#include "commands/postfix/multi_instance.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/text.hpp"
#include "config/registry.hpp"

namespace stagepost::postfix {

bool is_secondary_instance(const config::Snapshot& config) {
  if (config.config_directory() == config::default_config_directory()) { return false; }
  const auto primary = config::Snapshot::load({.check = config::LoadOptions::Check::no});
  if (!primary) { return false; }
  const auto listed = (*primary)->list("multi_instance_directories");
  return std::ranges::find(listed, config.config_directory()) != listed.end();
}

Result<std::vector<std::string>> manager_command(const config::Snapshot& config,
                                                 const std::vector<std::string>& command) {
  std::vector<std::string> words;
  if (config.list("multi_instance_directories").empty()) { return words; }
  for (const std::string_view word : text::split(config.text("multi_instance_wrapper"), " \t\r\n")) {
    words.emplace_back(word);
  }
  if (words.empty()) { return failure("multi-instance support is requested, but multi_instance_wrapper is empty"); }
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

void export_parameters(const config::Snapshot& config) {
  for (const char* name :
       {"command_directory", "compatibility_level", "daemon_directory", "data_directory", "html_directory",
        "mail_owner", "mailq_path", "manpage_directory", "meta_directory", "newaliases_path", "openssl_path",
        "queue_directory", "readme_directory", "sendmail_path", "setgid_group", "shlib_directory"}) {
    ::setenv(name, config.text(name).c_str(), 1);
  }
  ::setenv("config_directory", config.config_directory().c_str(), 1);
}

}  // namespace stagepost::postfix
