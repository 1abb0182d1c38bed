#include "delivery/exit_status.hpp"

#include <array>
#include <sys/wait.h>
#include <sysexits.h>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::delivery {
namespace {

struct SystemExit {
  int code;
  std::string_view status;
  std::string_view text;
};

constexpr std::array kSystemExits{SystemExit{EX_USAGE, "5.3.0", "command line usage error"},
                                  SystemExit{EX_DATAERR, "5.6.0", "data format error"},
                                  SystemExit{EX_NOINPUT, "5.3.0", "cannot open input"},
                                  SystemExit{EX_NOUSER, "5.1.1", "user unknown"},
                                  SystemExit{EX_NOHOST, "5.1.2", "host name unknown"},
                                  SystemExit{EX_UNAVAILABLE, "5.3.0", "service unavailable"},
                                  SystemExit{EX_SOFTWARE, "5.3.0", "internal software error"},
                                  SystemExit{EX_OSERR, "4.3.0", "system resource problem"},
                                  SystemExit{EX_OSFILE, "5.3.0", "critical OS file missing"},
                                  SystemExit{EX_CANTCREAT, "5.2.0", "can't create user output file"},
                                  SystemExit{EX_IOERR, "5.3.0", "input/output error"},
                                  SystemExit{EX_TEMPFAIL, "4.3.0", "temporary failure"},
                                  SystemExit{EX_PROTOCOL, "5.5.0", "remote error in protocol"},
                                  SystemExit{EX_NOPERM, "5.7.0", "permission denied"},
                                  SystemExit{EX_CONFIG, "5.3.5", "local configuration error"}};

/// Output on one line: white space as a space, other control characters as '_'.
std::string one_line(std::string_view output) {
  std::string line(output);
  for (char& c : line) {
    if (text::is_space(c)) {
      c = ' ';
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      c = '_';
    }
  }
  return line;
}

}  // namespace

Outcome command_outcome(const CommandEnd& end, std::string_view command) {
  Outcome outcome;
  const bool exited = WIFEXITED(end.wait_status);
  if (!end.timed_out && exited && WEXITSTATUS(end.wait_status) == 0) {
    outcome.status.code = "2.0.0";
    return outcome;
  }
  outcome.kind = Kind::bounced;
  if (end.timed_out) {
    outcome.status = {"5.3.0", fmt::format("Command time limit exceeded: \"{}\"", command)};
  } else if (!exited) {
    const int signal_number = WIFSIGNALED(end.wait_status) ? WTERMSIG(end.wait_status) : 0;
    outcome.status = {"4.3.0", fmt::format("Command died with signal {}: \"{}\"", signal_number, command)};
  } else if (const std::size_t length = dsn::code_length(end.output); length > 0) {
    outcome.status.code = end.output.substr(0, length);
    if (outcome.status.code.front() == '2') { outcome.status.code = "5.0.0"; }
    std::string_view rest = std::string_view(end.output).substr(length);
    while (!rest.empty() && text::is_space(rest.front())) { rest.remove_prefix(1); }
    outcome.status.text = one_line(rest);
    outcome.kind = outcome.status.is_temporary() ? Kind::deferred : Kind::bounced;
    outcome.diagnostic_type = "x-unix";
    outcome.diagnostic = outcome.status.text;
    return outcome;
  } else {
    const int code = WEXITSTATUS(end.wait_status);
    outcome.status = {"5.3.0", fmt::format("Command died with status {}: \"{}\"", code, command)};
    for (const SystemExit& known : kSystemExits) {
      if (known.code == code) { outcome.status = {std::string(known.status), std::string(known.text)}; }
    }
  }
  outcome.diagnostic_type = "x-unix";
  outcome.diagnostic = outcome.status.text;
  if (!end.output.empty()) {
    outcome.diagnostic = one_line(end.output);
    outcome.status.text += ". Command output: " + outcome.diagnostic;
  }
  if (outcome.status.is_temporary()) { outcome.kind = Kind::deferred; }
  return outcome;
}

}  // namespace stagepost::delivery
