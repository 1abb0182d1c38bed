// What postfix(1) says goes to the terminal and to the mail log, also when nobody serves the log yet: before the first
// start and after the stop of a system that logs through postlogd, lines are appended to maillog_file directly.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/snapshot.hpp"
#include "log/log.hpp"

namespace stagepost::postfix {

class Announcer {
 public:
  explicit Announcer(const config::Snapshot& config);
  /// With another name at the start of its lines.
  Announcer(const config::Snapshot& config, std::string name);

  void info(std::string_view text) const { say(log::Level::info, text); }
  void warning(std::string_view text) const { say(log::Level::warning, text); }
  void fatal(std::string_view text) const { say(log::Level::fatal, text); }

 private:
  void say(log::Level level, std::string_view text) const;
  [[nodiscard]] bool postlogd_listens() const;
  void append(std::string_view labelled_text) const;

  std::string name_;          ///< "postfix/postfix-script", which log readers know
  std::string maillog_file_;  ///< empty: syslog
  std::string postlog_socket_;
  std::string host_;
};

}  // namespace stagepost::postfix
