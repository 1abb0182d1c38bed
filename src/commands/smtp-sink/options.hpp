// The command line of smtp-sink(1).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "commands/smtp-sink/command.hpp"

namespace stagepost::smtp_sink {

struct Options {
  // Where
  enum class Family : std::uint8_t { any, ipv4, ipv6 } family = Family::any;
  std::string unix_path;  ///< not empty: a UNIX-domain socket instead of host and port
  std::string host;       ///< empty: every interface
  std::string port;
  int backlog = 0;
  int window_bytes = 0;             ///< -T; 0: the system's choice
  std::uint64_t connections = 256;  ///< -m
  std::string user;                 ///< -u
  std::string root;                 ///< -R

  // What is announced
  std::string hostname = "smtp-sink";  ///< -h
  bool lmtp = false;                   ///< -L
  bool esmtp = true;                   ///< -e takes it away
  bool pix = false;                    ///< -P
  bool eightbit = true;                ///< -8
  bool auth = true;                    ///< -a
  bool xclient = true;                 ///< -C
  bool enhanced_status_codes = true;   ///< -E
  bool xforward = true;                ///< -F
  bool dsn = true;                     ///< -N
  bool pipelining = true;              ///< -p, -f and -r take it away

  // How it answers
  Behaviours behaviours{};
  std::string soft_reply = "450 4.3.0 Error: command failed";  ///< -b
  std::string hard_reply = "500 5.3.0 Error: command failed";  ///< -B
  std::optional<std::chrono::seconds> abort_delay;             ///< -A
  std::chrono::seconds read_delay{0};                          ///< -H
  std::chrono::seconds timeout{100};                           ///< -t

  // What it keeps and shows
  bool counters = false;            ///< -c
  bool verbose = false;             ///< -v
  std::uint64_t quit_messages = 0;  ///< -M; 0: never
  std::uint64_t quit_sessions = 0;  ///< -n
  std::string single_dump;          ///< -d
  std::string multi_dump;           ///< -D
  std::string start_string;         ///< -S, escapes replaced

  // Ours
  bool report = false;                           ///< --report
  std::uint64_t report_every = 0;                ///< --report-every, messages
  std::chrono::milliseconds report_interval{0};  ///< --report-interval
  bool latency = false;                          ///< --latency
  double rate = 0;                               ///< --rate, messages a second

  [[nodiscard]] bool captures() const { return !single_dump.empty() || !multi_dump.empty(); }
};

/// Error: the text for "smtp-sink: fatal: ...".
[[nodiscard]] Result<Options> parse_options(int argc, char** argv);
/// The C escapes of -S: \a \b \f \n \r \t \v \\ and up to three octal digits; any other character stands for itself.
[[nodiscard]] std::string unescape(std::string_view text);

}  // namespace stagepost::smtp_sink
