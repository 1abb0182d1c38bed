// The command line of smtp-source(1).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"

namespace stagepost::smtp_source {

struct Options {
  // Where to
  enum class Family : std::uint8_t { any, ipv4, ipv6 } family = Family::any;
  std::string unix_path;  ///< not empty: a UNIX-domain socket instead of host and port
  std::string host;
  std::string port = "smtp";
  int window_bytes = 0;      ///< -T; 0: the system's choice
  int connect_attempts = 1;  ///< -C

  // What
  std::string hostname;                     ///< -M, default the machine's name
  std::string sender;                       ///< -f
  std::string recipient;                    ///< -t
  std::string subject;                      ///< -S
  std::string file;                         ///< -F
  std::optional<std::size_t> length_bytes;  ///< -l
  std::uint64_t messages = 1;               ///< -m
  std::uint64_t recipients = 1;             ///< -r
  bool number_recipients = false;           ///< -N
  bool old_mode = false;                    ///< -o
  bool lmtp = false;                        ///< -L

  // How
  std::uint64_t sessions = 1;            ///< -s
  bool reuse_connection = false;         ///< -d
  bool keep_going = false;               ///< -A
  bool counter = false;                  ///< -c
  bool verbose = false;                  ///< -v
  std::chrono::seconds fixed_pause{0};   ///< -w
  std::chrono::seconds random_pause{0};  ///< -R

  // Ours
  bool starttls = false;                         ///< --starttls
  bool stamp = false;                            ///< --stamp
  bool report = false;                           ///< --report
  std::chrono::milliseconds report_interval{0};  ///< --report-interval; 0: only at the end
  double rate = 0;                               ///< --rate, messages a second; 0: as fast as they go
  std::chrono::milliseconds duration{0};         ///< --duration; 0: until all messages are sent
  bool hold = false;                             ///< --hold
};

/// Field in front of a --stamp message's header; smtp-sink --latency reads it. Nanoseconds of the steady clock.
inline constexpr const char* kStampField = "X-Stagepost-Sent";

/// Error: the text for "smtp-source: fatal: ...".
[[nodiscard]] Result<Options> parse_options(int argc, char** argv);

}  // namespace stagepost::smtp_source
