// Writes merged lines to the log file: many with one write, none later than LineMerger::Limits say.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "log/last_words.hpp"
#include "net/event.hpp"
#include "net/event_loop.hpp"
#include "net/task.hpp"
#include "net/task_group.hpp"
#include "services/postlogd/line_merger.hpp"

namespace stagepost::postlogd {

class LogWriter {
 public:
  /// `file`: borrowed, open for appending.
  LogWriter(net::EventLoop& loop, int file);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// Lines that have just come.
  void add(std::span<const std::string_view> datagrams);
  /// Writes everything that is held. Await it before the end.
  [[nodiscard]] net::Task<> finish();

 private:
  net::Task<> write_in_time();
  void write_settled(log::LineTime now);
  void write_all();
  void write();

  int file_;
  LineMerger merger_;
  std::string out_;
  log::LastWords last_words_;  ///< if we crash: what is held, in the order of arrival
  net::Event held_;
  net::TaskGroup tasks_;
};

}  // namespace stagepost::postlogd
