#include "config/log_settings.hpp"

#include <string>

namespace stagepost::config {

log::Settings log_settings(const Snapshot& config, std::string_view process, bool verbose) {
  log::Settings settings;
  settings.program_name = config.text("syslog_name") + "/" + std::string(process);
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

}  // namespace stagepost::config
