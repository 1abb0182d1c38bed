#include "commands/smtp-source/options.hpp"

#include <array>
#include <climits>
#include <getopt.h>
#include <limits>
#include <unistd.h>

#include <fmt/format.h>

#include "base/option_value.hpp"
#include "net/endpoint.hpp"

namespace stagepost::smtp_source {
namespace {

constexpr const char* kShortOptions = "46AcC:df:F:l:Lm:M:Nor:R:s:S:t:T:vw:";
constexpr std::size_t kLongestMessage = std::size_t{1} << 30;

enum LongOption : int { kStartTls = 256, kStamp, kReport, kReportInterval, kRate, kDuration, kHold };
constexpr std::array<option, 8> kLongOptions{{{"starttls", no_argument, nullptr, kStartTls},
                                              {"stamp", no_argument, nullptr, kStamp},
                                              {"report", no_argument, nullptr, kReport},
                                              {"report-interval", required_argument, nullptr, kReportInterval},
                                              {"rate", required_argument, nullptr, kRate},
                                              {"duration", required_argument, nullptr, kDuration},
                                              {"hold", no_argument, nullptr, kHold},
                                              {nullptr, 0, nullptr, 0}}};

constexpr std::string_view kUsage =
    "usage: smtp-source [-46AcdLNov] [-C count] [-f from] [-F file] [-l length] [-m message_count] [-M myhostname] "
    "[-r recipient_count] [-R interval] [-s session_count] [-S subject] [-t to] [-T windowsize] [-w interval] "
    "[--option...] host[:port] | unix:pathname (smtp-source --help explains them)";

Result<std::chrono::milliseconds> seconds(std::string_view text, std::string_view what) {
  SP_TRY(const double value, option_decimal(text, what));
  return std::chrono::milliseconds(static_cast<std::int64_t>(value * 1000));
}

Result<> parse_target(std::string_view target, Options& options) {
  if (target.starts_with("unix:")) {
    options.unix_path = target.substr(5);
    if (options.unix_path.empty()) { return failure("unix: needs a pathname"); }
    return {};
  }
  if (target.starts_with("inet:")) { target.remove_prefix(5); }
  SP_TRY(const auto parsed, net::HostPort::parse(target, net::HostPort::Bare::is_host));
  if (parsed.host.empty()) { return failure(fmt::format("no host in: {}", target)); }
  options.host = parsed.host;
  if (!parsed.port.empty()) { options.port = parsed.port; }
  return {};
}

Result<> apply_long(int option, std::string_view value, Options& options) {
  switch (option) {
    case kStartTls:
      options.starttls = true;
      return {};
    case kStamp:
      options.stamp = true;
      return {};
    case kReport:
      options.report = true;
      return {};
    case kReportInterval: {
      SP_TRY(options.report_interval, seconds(value, "report interval"));
      options.report = true;
      return {};
    }
    case kRate: {
      SP_TRY(options.rate, option_decimal(value, "rate"));
      return {};
    }
    case kDuration: {
      SP_TRY(options.duration, seconds(value, "duration"));
      return {};
    }
    case kHold:
      options.hold = true;
      return {};
    default:
      return failure(std::string(kUsage));
  }
}

Result<> apply_number(int option, std::string_view value, Options& options) {
  constexpr auto kMany = std::numeric_limits<std::uint64_t>::max();
  switch (option) {
    case 'C': {
      SP_TRY(const auto count, option_number(value, "connection count", 1, INT_MAX));
      options.connect_attempts = static_cast<int>(count);
      return {};
    }
    case 'l': {
      SP_TRY(options.length_bytes, option_number(value, "message length", 1, kLongestMessage));
      return {};
    }
    case 'm': {
      SP_TRY(options.messages, option_number(value, "message count", 1, kMany));
      return {};
    }
    case 'r': {
      SP_TRY(options.recipients, option_number(value, "recipient count", 1, kMany));
      return {};
    }
    case 'R': {
      SP_TRY(const auto most, option_number(value, "random delay", 1, INT_MAX));
      options.random_pause = std::chrono::seconds(most);
      return {};
    }
    case 's': {
      SP_TRY(options.sessions, option_number(value, "session count", 1, 1000000));
      return {};
    }
    case 'T': {
      SP_TRY(const auto bytes, option_number(value, "TCP window size", 1, INT_MAX));
      options.window_bytes = static_cast<int>(bytes);
      return {};
    }
    case 'w': {
      SP_TRY(const auto pause, option_number(value, "fixed delay", 1, INT_MAX));
      options.fixed_pause = std::chrono::seconds(pause);
      return {};
    }
    default:
      return apply_long(option, value, options);
  }
}

Result<> apply(int option, const char* value, Options& options) {
  switch (option) {
    case '4':
      options.family = Options::Family::ipv4;
      return {};
    case '6':
      options.family = Options::Family::ipv6;
      return {};
    case 'A':
      options.keep_going = true;
      return {};
    case 'c':
      options.counter = true;
      return {};
    case 'd':
      options.reuse_connection = true;
      return {};
    case 'f':
      options.sender = value;
      return {};
    case 'F':
      options.file = value;
      return {};
    case 'L':
      options.lmtp = true;
      return {};
    case 'M':
      options.hostname = value;
      return {};
    case 'N':
      options.number_recipients = true;
      return {};
    case 'o':
      options.old_mode = true;
      return {};
    case 'S':
      options.subject = value;
      return {};
    case 't':
      options.recipient = value;
      return {};
    case 'v':
      options.verbose = true;
      return {};
    default:
      return apply_number(option, value == nullptr ? std::string_view{} : value, options);
  }
}

// A line break in one of these would be a command or header field of its own.
Result<> refuse_line_breaks(const Options& options) {
  for (const std::string* text : {&options.hostname, &options.sender, &options.recipient, &options.subject}) {
    if (text->find_first_of("\r\n") != std::string::npos) { return failure("line break in an argument"); }
  }
  return {};
}

std::string machine_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

Result<Options> parse_options(int argc, char** argv) {
  Options options;
  ::opterr = 0;
  ::optind = 0;
  for (int option = 0; (option = ::getopt_long(argc, argv, kShortOptions, kLongOptions.data(), nullptr)) != -1;) {
    if (option == '?') { return failure(std::string(kUsage)); }
    SP_TRY(apply(option, ::optarg, options));
  }
  if (argc - ::optind != 1) { return failure(std::string(kUsage)); }
  SP_TRY(parse_target(argv[::optind], options));
  if (!options.file.empty() && options.length_bytes) { return failure("-l and -F exclude each other"); }
  if (options.starttls && options.old_mode) { return failure("--starttls needs EHLO, which -o leaves out"); }
  if (options.hostname.empty()) { options.hostname = machine_name(); }
  if (options.sender.empty()) { options.sender = "foo@" + options.hostname; }
  if (options.recipient.empty()) { options.recipient = "foo@" + options.hostname; }
  SP_TRY(refuse_line_breaks(options));
  return options;
}

}  // namespace stagepost::smtp_source
