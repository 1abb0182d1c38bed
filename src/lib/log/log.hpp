// The logger: Postfix's line format to syslog, to postlogd's socket or to stderr; optionally one JSON object per event.
// Call sites see only levels and text; spdlog stays behind this header.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <fmt/core.h>

namespace stagepost::log {

/// Severity. The label Postfix puts in front of the text ("warning: ", "error: ", "fatal: ", "panic: ") belongs to it.
enum class Level { debug, info, warning, error, fatal, panic };

enum class Destination { syslog, postlog, stderr_stream };
enum class Format { text, json };

struct Settings {
  /// "postfix/smtpd": syslog_name and the process (or service) name.
  std::string program_name = "postfix";
  /// Host name in lines that go to a file (first label of myhostname); empty: the machine's.
  std::string host;
  /// Parameter syslog_facility without "LOG_": "mail", "local0" ...
  std::string facility = "mail";
  Destination destination = Destination::stderr_stream;
  /// Datagram socket of postlogd, for Destination::postlog.
  std::string postlog_socket;
  /// For Destination::postlog: a file that takes the lines while postlogd does not listen (maillog_file); empty: they
  /// are lost. For commands of the administrator, who run while the mail system is down.
  std::string fallback_file;
  /// Parameter maillog_format.
  Format format = Format::text;
  /// Parameter debug output (-v): lets Level::debug through.
  bool verbose = false;
  /// Copy warnings and worse to stderr as well, as commands do.
  bool copy_to_stderr = false;
};

/// (Re)opens the log. Call once at process start, before threads exist, and before chroot.
void open(const Settings& settings);
/// Directs every line to `sink` instead (tests); an empty function restores the opened log.
void capture(std::function<void(Level, std::string_view)> sink);

/// With Destination::postlog: lines are collected, and `soon` is asked (on any thread) to call flush() within
/// kCollectTime (batch.hpp). They leave at once when they are many, when one is a warning or worse, and when a signal
/// ends the process. An empty function: each line leaves at once. Their order in the log does not depend on when they
/// leave.
void collect(std::function<void()> soon);
/// Sends what was collected. Before exec, _exit() or anything else that forgets what is in memory.
void flush() noexcept;

[[nodiscard]] bool verbose();
/// Whether there is a log yet. Before, lines go to stderr, where a command has written its error already.
[[nodiscard]] bool opened();
/// Writes one line; bytes that are not printable become '?'. Never throws, never blocks longer than 100 ms.
void write(Level level, std::string_view text) noexcept;

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (verbose()) { write(Level::debug, fmt::format(format, std::forward<Args>(args)...)); }
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}
/// Logs only; leaving the process is the caller's decision.
template <class... Args>
void fatal(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::fatal, fmt::format(format, std::forward<Args>(args)...));
}

/// The text part of a line as Postfix writes it: label, then text with unprintable bytes replaced.
[[nodiscard]] std::string labelled(Level level, std::string_view text);
/// One line of a log file: "Nov 22 12:00:00 host postfix/smtpd[123]: text" (local time, no newline).
[[nodiscard]] std::string file_line(std::string_view host, std::string_view program_name, int pid,
                                    std::string_view labelled_text);
/// The JSON form of the same event; a leading "QUEUEID: " of the text becomes the field queue_id.
[[nodiscard]] std::string json_line(std::string_view program_name, int pid, Level level, std::string_view text);

}  // namespace stagepost::log
