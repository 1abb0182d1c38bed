#include "commands/smtp-sink/options.hpp"

#include <array>
#include <climits>
#include <getopt.h>
#include <limits>

#include <fmt/format.h>

#include "base/option_value.hpp"
#include "base/text.hpp"
#include "net/endpoint.hpp"

namespace stagepost::smtp_sink {
namespace {

constexpr const char* kShortOptions = "468aA:b:B:cCd:D:eEf:Fh:H:Lm:M:n:NpPq:Q:r:R:s:S:t:T:u:vw:W:";

enum LongOption : int { kReport = 256, kReportEvery, kReportInterval, kLatency, kRate };
constexpr std::array<option, 6> kLongOptions{{{"report", no_argument, nullptr, kReport},
                                              {"report-every", required_argument, nullptr, kReportEvery},
                                              {"report-interval", required_argument, nullptr, kReportInterval},
                                              {"latency", no_argument, nullptr, kLatency},
                                              {"rate", required_argument, nullptr, kRate},
                                              {nullptr, 0, nullptr, 0}}};

constexpr std::string_view kUsage =
    "usage: smtp-sink [-468acCeEFLNpPv] [-A abort_delay] [-b soft_bounce_reply] [-B hard_bounce_reply] "
    "[-d dump-template] [-D dump-template] [-f commands] [-h hostname] [-H delay] [-m max_concurrency] "
    "[-M message_quit_count] [-n quit_count] [-q commands] [-Q commands] [-r commands] [-R root-dir] [-s commands] "
    "[-S start-string] [-t timeout] [-T windowsize] [-u user_privs] [-w delay] [-W command:delay[:odds]] "
    "[--option...] [host]:port backlog (smtp-sink --help explains them)";

Result<std::chrono::seconds> seconds(std::string_view text, std::string_view what, std::uint64_t least) {
  SP_TRY(const auto value, option_number(text, what, least, INT_MAX));
  return std::chrono::seconds(value);
}

Result<> mark(std::string_view commands, bool Behaviour::* flag, Options& options) {
  for (const std::string_view name : text::split(commands, " \t\r\n,")) {
    const Command command = command_named(name);
    if (command == Command::unknown) { return failure(fmt::format("unknown command: {}", name)); }
    of(options.behaviours, command).*flag = true;
  }
  return {};
}

// "command:delay[:odds]"
Result<> set_delay(std::string_view text, Options& options) {
  const auto parts = text::split_exact(text, ':');
  const Command command = command_named(parts[0]);
  if (command == Command::unknown) { return failure(fmt::format("unknown command: {}", parts[0])); }
  if (parts.size() < 2 || parts.size() > 3) { return failure(fmt::format("-W needs command:delay[:odds]: {}", text)); }
  Behaviour& behaviour = of(options.behaviours, command);
  SP_TRY(behaviour.delay, seconds(parts[1], fmt::format("delay for '{}'", parts[0]), 1));
  behaviour.delay_odds = 0;
  if (parts.size() == 3) {
    SP_TRY(const auto odds, option_number(parts[2], fmt::format("delay odds for '{}'", parts[0]), 1, 99));
    behaviour.delay_odds = static_cast<int>(odds);
  }
  return {};
}

Result<> set_reply(std::string_view reply, char first_digit, std::string_view what, std::string& target) {
  const bool code = reply.size() >= 3 && reply[0] == first_digit && text::is_digit(reply[1]) &&
                    text::is_digit(reply[2]) && (reply.size() == 3 || reply[3] == ' ');
  if (!code || reply.find_first_of("\r\n") != std::string_view::npos) {
    return failure(fmt::format("bad {} error reply: {}", what, reply));
  }
  target = reply;
  return {};
}

Result<> parse_endpoint(std::string_view target, Options& options) {
  if (target.starts_with("unix:")) {
    options.unix_path = target.substr(5);
    if (options.unix_path.empty()) { return failure("unix: needs a pathname"); }
    return {};
  }
  if (target.starts_with("inet:")) { target.remove_prefix(5); }
  SP_TRY(const auto parsed, net::HostPort::parse(target, net::HostPort::Bare::is_port));
  if (parsed.port.empty()) { return failure(fmt::format("no port in: {}", target)); }
  options.host = parsed.host;
  options.port = parsed.port;
  return {};
}

Result<> apply_long(int option, std::string_view value, Options& options) {
  constexpr auto kMany = std::numeric_limits<std::uint64_t>::max();
  switch (option) {
    case kReport:
      options.report = true;
      return {};
    case kReportEvery: {
      SP_TRY(options.report_every, option_number(value, "report count", 1, kMany));
      return {};
    }
    case kReportInterval: {
      SP_TRY(const double interval, option_decimal(value, "report interval"));
      options.report_interval = std::chrono::milliseconds(static_cast<std::int64_t>(interval * 1000));
      return {};
    }
    case kLatency:
      options.latency = true;
      return {};
    case kRate: {
      SP_TRY(options.rate, option_decimal(value, "rate"));
      return {};
    }
    default:
      return failure(std::string(kUsage));
  }
}

Result<> apply_flag(int option, std::string_view value, Options& options) {
  switch (option) {
    case '4':
      options.family = Options::Family::ipv4;
      return {};
    case '6':
      options.family = Options::Family::ipv6;
      return {};
    case '8':
      options.eightbit = false;
      return {};
    case 'a':
      options.auth = false;
      return {};
    case 'c':
      options.counters = true;
      return {};
    case 'C':
      options.xclient = false;
      return {};
    case 'e':
      options.esmtp = false;
      return {};
    case 'E':
      options.enhanced_status_codes = false;
      return {};
    case 'F':
      options.xforward = false;
      return {};
    case 'L':
      options.lmtp = true;
      return {};
    case 'N':
      options.dsn = false;
      return {};
    case 'p':
      options.pipelining = false;
      return {};
    case 'P':
      options.pix = true;
      options.esmtp = false;
      return {};
    case 'v':
      options.verbose = true;
      return {};
    default:
      return apply_long(option, value, options);
  }
}

Result<> apply_number(int option, std::string_view value, Options& options) {
  constexpr auto kMany = std::numeric_limits<std::uint64_t>::max();
  switch (option) {
    case 'A': {
      SP_TRY(options.abort_delay, seconds(value, "abort delay", 0));
      return {};
    }
    case 'H': {
      SP_TRY(options.read_delay, seconds(value, "data read delay", 0));
      return {};
    }
    case 'm': {
      SP_TRY(options.connections, option_number(value, "concurrency limit", 1, 1000000));
      return {};
    }
    case 'M': {
      SP_TRY(options.quit_messages, option_number(value, "message quit count", 1, kMany));
      return {};
    }
    case 'n': {
      SP_TRY(options.quit_sessions, option_number(value, "session quit count", 1, kMany));
      return {};
    }
    case 't': {
      SP_TRY(options.timeout, seconds(value, "timeout", 1));
      return {};
    }
    case 'T': {
      SP_TRY(const auto bytes, option_number(value, "TCP window size", 1, INT_MAX));
      options.window_bytes = static_cast<int>(bytes);
      return {};
    }
    case 'w': {
      SP_TRY(of(options.behaviours, Command::data).delay, seconds(value, "data delay", 0));
      return {};
    }
    default:
      return apply_flag(option, value, options);
  }
}

Result<> apply(int option, std::string_view value, Options& options) {
  switch (option) {
    case 'b':
      return set_reply(value, '4', "soft", options.soft_reply);
    case 'B':
      return set_reply(value, '5', "hard", options.hard_reply);
    case 'd':
      options.single_dump = value;
      return {};
    case 'D':
      options.multi_dump = value;
      return {};
    case 'f':
      options.pipelining = false;
      return mark(value, &Behaviour::reject_hard, options);
    case 'h':
      options.hostname = value;
      return {};
    case 'q':
      return mark(value, &Behaviour::disconnect, options);
    case 'Q':
      return mark(value, &Behaviour::disconnect_421, options);
    case 'r':
      options.pipelining = false;
      return mark(value, &Behaviour::reject_soft, options);
    case 'R':
      options.root = value;
      return {};
    case 's':
      return mark(value, &Behaviour::log, options);
    case 'S':
      options.start_string = unescape(value);
      return {};
    case 'u':
      options.user = value;
      return {};
    case 'W':
      return set_delay(value, options);
    default:
      return apply_number(option, value, options);
  }
}

}  // namespace

std::string unescape(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      result.push_back(text[i]);
      continue;
    }
    const char letter = text[++i];
    constexpr std::string_view kLetters = "abfnrtv";
    constexpr std::string_view kMeaning = "\a\b\f\n\r\t\v";
    if (const auto at = kLetters.find(letter); at != std::string_view::npos) {
      result.push_back(kMeaning[at]);
    } else if (letter >= '0' && letter <= '7') {
      unsigned value = 0;
      std::size_t digits = 0;
      for (; digits < 3 && i + digits < text.size() && text[i + digits] >= '0' && text[i + digits] <= '7'; ++digits) {
        value = value * 8 + static_cast<unsigned>(text[i + digits] - '0');
      }
      i += digits - 1;
      result.push_back(static_cast<char>(value & 0xffU));
    } else {
      result.push_back(letter);
    }
  }
  return result;
}

Result<Options> parse_options(int argc, char** argv) {
  Options options;
  ::opterr = 0;
  ::optind = 0;
  for (int option = 0; (option = ::getopt_long(argc, argv, kShortOptions, kLongOptions.data(), nullptr)) != -1;) {
    if (option == '?') { return failure(std::string(kUsage)); }
    SP_TRY(apply(option, ::optarg == nullptr ? std::string_view{} : ::optarg, options));
  }
  if (argc - ::optind != 2) { return failure(std::string(kUsage)); }
  SP_TRY(parse_endpoint(argv[::optind], options));
  SP_TRY(const auto backlog, option_number(argv[::optind + 1], "backlog", 1, INT_MAX));
  options.backlog = static_cast<int>(backlog);
  if (options.hostname.find_first_of("\r\n") != std::string::npos) { return failure("line break in an argument"); }
  if (!options.single_dump.empty() && !options.multi_dump.empty()) { return failure("-d and -D exclude each other"); }
  return options;
}

}  // namespace stagepost::smtp_sink
