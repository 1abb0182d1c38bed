#include "config/log_settings.hpp"

#include <algorithm>
#include <string>

namespace stagepost::config {

log::Settings log_settings(const Snapshot& config, std::string_view process, bool verbose) {
  log::Settings settings;
  settings.program_name = config.text("syslog_name") + "/" + std::string(process);
  settings.host = config.text("myhostname");
  settings.facility = config.text("syslog_facility");
  settings.verbose = verbose;
  settings.format = config.text("maillog_format") == "json" ? log::Format::json : log::Format::text;
  settings.destination = log::Destination::syslog;
  if (!config.text("maillog_file").empty()) {
    settings.destination = log::Destination::postlog;
    settings.postlog_socket = config.text("queue_directory") + "/public/" + config.text("postlog_service_name");
  }
  return settings;
}

std::string fallback_log_file(const Snapshot& config) {
  const std::string& file = config.text("maillog_file");
  return log_file_allowed(file, config.list("maillog_file_prefixes")) ? file : std::string();
}

bool log_file_allowed(std::string_view path, const std::vector<std::string>& prefixes) {
  if (path.find("/../") != std::string_view::npos) { return false; }
  return std::any_of(prefixes.begin(), prefixes.end(), [path](std::string_view prefix) {
    while (prefix.size() > 1 && prefix.ends_with('/')) { prefix.remove_suffix(1); }
    return prefix == "/" || path == prefix || (path.starts_with(prefix) && path.substr(prefix.size()).starts_with('/'));
  });
}

}  // namespace stagepost::config
