#include "config/setgid_command.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include "config/snapshot.hpp"

namespace stagepost::config {

bool is_setgid() { return ::geteuid() != ::getuid() || ::getegid() != ::getgid(); }

Result<std::string> trusted_config_directory(const std::string& option) {
  std::string directory = option;
  if (directory.empty()) {
    const char* from_environment = std::getenv("MAIL_CONFIG");
    directory = from_environment != nullptr ? std::string_view(from_environment) : default_config_directory();
  }
  // The super-user can do anything anyway.
  if (!is_setgid() || ::getuid() == 0 || directory == default_config_directory()) { return directory; }
  const auto trusted = Snapshot::load({});
  if (trusted) {
    for (const char* parameter : {"alternate_config_directories", "multi_instance_directories"}) {
      const auto allowed = (*trusted)->list(parameter);
      if (std::ranges::find(allowed, directory) != allowed.end()) { return directory; }
    }
  }
  return failure("unauthorized configuration directory name: " + directory, std::errc::permission_denied);
}

void clean_environment() {
  std::vector<std::pair<std::string, std::string>> keep;
  for (const char* name : {"MAIL_CONFIG", "MAIL_VERBOSE", "MAIL_DEBUG", "TZ"}) {
    if (const char* value = std::getenv(name)) { keep.emplace_back(name, value); }
  }
  ::clearenv();
  for (const auto& [name, value] : keep) { ::setenv(name.c_str(), value.c_str(), 1); }
}

}  // namespace stagepost::config
