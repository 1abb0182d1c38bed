#include "commands/sendmail/sendmail.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pwd.h>
#include <signal.h>
#include <string>
#include <sysexits.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "commands/sendmail/message_input.hpp"
#include "commands/sendmail/options.hpp"
#include "config/log_settings.hpp"
#include "config/snapshot.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"
#include "mail/address_list.hpp"
#include "mail/verp.hpp"
#include "queue/maildrop_format.hpp"
#include "queue/postdrop.hpp"

namespace stagepost::sendmail {
namespace {

struct Fatal {
  int status;
  std::string text;
};

struct User {
  std::string name;
  std::string full_name;
};

/// Who runs this program. The password file's '&' stands for the capitalised login name.
User current_user() {
  const passwd* entry = ::getpwuid(::getuid());
  if (entry == nullptr) { throw Fatal{EX_OSERR, fmt::format("unable to find a name for user ID {}", ::getuid())}; }
  User user{.name = entry->pw_name};
  const std::string_view gecos = entry->pw_gecos != nullptr ? entry->pw_gecos : "";
  for (const char c : gecos.substr(0, gecos.find_first_of(",;%"))) {
    if (c == '&' && !user.name.empty()) {
      user.full_name += text::upper(user.name.front());
      user.full_name += user.name.substr(1);
    } else {
      user.full_name += c;
    }
  }
  if (const char* name = std::getenv("NAME")) { user.full_name = name; }
  return user;
}

[[noreturn]] void replace_by(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> words{program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) { argv.push_back(word.data()); }
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  throw Fatal{EX_UNAVAILABLE, "execute " + program + ": " + std::strerror(errno)};
}

void warn(std::string_view text) {
  fmt::print(stderr, "sendmail: warning: {}\n", text);
  log::warning("{}", text);
}

/// Addresses of one command-line argument, which may be a list, in internal form.
void add_recipients(const std::string& argument, std::vector<std::string>& recipients) {
  for (const auto& listed : mail::extract_addresses(argument)) {
    recipients.push_back(mail::unquote_822_local(listed.address));
  }
}

/// What stands in place of a message that only asks where it would go.
std::string probe_header(const queue::Submission& submission) {
  std::string header = "From: " + submission.sender + "\nSubject: probe\nTo:";
  for (const std::string& recipient : submission.recipients) {
    header += (&recipient == &submission.recipients.front() ? "\t" : ",\n\t") + recipient;
  }
  return header + "\n";
}

int submit(const Options& options, const config::Snapshot& config) {
  const User user = current_user();
  const auto who = [&](std::string_view what) { return fmt::format("{}({}): {}", user.name, ::getuid(), what); };
  queue::Submission submission;
  submission.dsn_envid = options.dsn_envid;
  submission.dsn_ret = static_cast<unsigned>(options.dsn_ret);
  submission.notify = static_cast<unsigned>(options.dsn_notify);
  submission.full_name = options.full_name.empty() ? user.full_name : options.full_name;
  submission.encoding = options.body_type;
  if (options.verify_only) { submission.trace_flags = queue::kTraceProbe; }
  submission.gateway = options.gateway;
  // Two -v are for debugging.
  if (options.verbose_delivery && options.debug == 0 && !options.verify_only) {
    submission.trace_flags = queue::kTraceReport;
  }
  if (options.use_verp) {
    submission.verp_delimiters =
        options.verp_delimiters.empty() ? config.text("default_verp_delimiters") : options.verp_delimiters;
    const std::string& filter = config.text("verp_delimiter_filter");
    if (!mail::is_verp_delimiters(submission.verp_delimiters, filter)) {
      throw Fatal{EX_TEMPFAIL, "-V requires two characters from " + filter};
    }
  }
  submission.sender = user.name;
  if (options.has_sender) {
    const auto listed = mail::extract_addresses(options.sender);
    submission.sender = listed.empty() ? std::string() : mail::unquote_822_local(listed.front().address);
    if (listed.size() > 1) { warn("-f option specified malformed sender: " + options.sender); }
  }
  if (options.use_verp && submission.sender.empty()) {
    throw Fatal{EX_TEMPFAIL, who("-V option requires non-null sender address")};
  }
  for (const std::string& argument : options.recipients) { add_recipients(argument, submission.recipients); }
  if (submission.recipients.empty() && !options.extract_recipients) {
    throw Fatal{EX_TEMPFAIL, who("Recipient addresses must be specified on the command line or via the -t option")};
  }

  std::vector<std::string> arguments{"-r"};
  if (!options.config_directory.empty()) { arguments.insert(arguments.end(), {"-c", options.config_directory}); }
  auto postdrop = queue::Postdrop::start(config.text("command_directory") + "/postdrop", arguments);
  if (!postdrop) { throw Fatal{EX_TEMPFAIL, who(postdrop.error().message())}; }

  MessageInput input({.dot_is_data = options.dot_is_data,
                      .extract_recipients = options.extract_recipients,
                      .line_length_limit = static_cast<std::size_t>(config.integer("line_length_limit")),
                      .header_size_limit = static_cast<std::size_t>(config.integer("header_size_limit"))});
  std::string records = queue::format_submission_envelope(submission);
  std::array<char, 65536> chunk;
  bool taken = true;
  if (options.verify_only) {
    // Nothing is delivered, so that there is nothing to read.
    input.feed(probe_header(submission), records);
    taken = postdrop->write(records);
    records.clear();
  }
  while (taken && !options.verify_only && !input.ended()) {
    const auto n = sys::read(STDIN_FILENO, chunk);
    if (!n) { throw Fatal{EX_DATAERR, who("error reading input: " + n.error().message())}; }
    if (*n == 0) { break; }
    input.feed({chunk.data(), *n}, records);
    taken = postdrop->write(records);
    records.clear();
  }
  input.finish(records);
  std::vector<std::string> extracted;
  if (options.extract_recipients) {
    for (const std::string& address : input.header_recipients()) {
      extracted.push_back(mail::unquote_822_local(address));
    }
    if (submission.recipients.empty() && extracted.empty()) {
      throw Fatal{EX_TEMPFAIL, who("No recipient addresses found in message header")};
    }
  }
  records += queue::format_submission_end(extracted, submission.notify);
  if (taken) { taken = postdrop->write(records); }
  const queue::Postdrop::Outcome outcome = postdrop->finish();
  if (outcome.exit_status != EX_OK || !taken) {
    const int status = outcome.exit_status != EX_OK ? outcome.exit_status : EX_TEMPFAIL;
    throw Fatal{status, who(outcome.error.empty() ? "postdrop failed" : outcome.error)};
  }
  if (submission.trace_flags != 0) {
    fmt::print("Mail Delivery Status Report will be mailed to <{}>.\n", submission.sender);
  }
  return EX_OK;
}

int dispatch(const Options& options, const config::Snapshot& config) {
  const std::string commands = config.text("command_directory");
  const auto with_config = [&](std::vector<std::string> arguments) {
    if (!options.config_directory.empty()) { arguments.insert(arguments.begin(), {"-c", options.config_directory}); }
    return arguments;
  };
  switch (options.mode) {
    case Mode::submit:
      return submit(options, config);
    case Mode::mailq:
      replace_by(commands + "/postqueue", with_config({"-p"}));
    case Mode::flush_queue:
      replace_by(commands + "/postqueue", with_config({"-f"}));
    case Mode::flush_site:
      replace_by(commands + "/postqueue", with_config({"-s", options.site_or_id}));
    case Mode::flush_id:
      replace_by(commands + "/postqueue", with_config({"-i", options.site_or_id}));
    case Mode::newaliases: {
      std::vector<std::string> arguments = with_config({"--"});
      auto databases = config.list("alias_database");
      if (!options.alias_database.empty()) { databases = {options.alias_database}; }
      if (databases.empty()) { return EX_OK; }
      arguments.insert(arguments.end(), databases.begin(), databases.end());
      replace_by(commands + "/postalias", arguments);
    }
    case Mode::daemon:
      replace_by(commands + "/postfix", with_config({"start"}));
    case Mode::stop:
      return EX_OK;
    case Mode::smtp: {
      if (!options.recipients.empty()) { throw Fatal{EX_TEMPFAIL, "stand-alone mode requires no recipient"}; }
      std::vector<std::string> arguments{"-S"};
      if (options.verbose_delivery) { arguments.emplace_back("-v"); }
      replace_by(config.text("daemon_directory") + "/smtpd", arguments);
    }
  }
  return EX_SOFTWARE;
}

}  // namespace

int run(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::string_view program = argc > 0 ? argv[0] : "sendmail";
  if (const auto slash = program.rfind('/'); slash != std::string_view::npos) { program.remove_prefix(slash + 1); }
  try {
    const auto options = parse_options(program, arguments);
    if (!options) { throw Fatal{EX_TEMPFAIL, options.error().message()}; }
    if (!options->config_directory.empty()) { ::setenv("MAIL_CONFIG", options->config_directory.c_str(), 1); }
    const char* from_environment = std::getenv("MAIL_CONFIG");
    const auto config = config::Snapshot::load(
        {.config_directory = from_environment != nullptr ? from_environment : "", .process_name = "sendmail"});
    if (!config) { throw Fatal{EX_TEMPFAIL, config.error().message()}; }
    log::Settings settings = config::log_settings(**config, "sendmail", options->debug > 0);
    if (!options->log_tag.empty()) { settings.program_name = options->log_tag + "/sendmail"; }
    log::open(settings);
    for (const std::string& text : options->warnings) { warn(text); }
    return dispatch(*options, **config);
  } catch (const Fatal& fatal) {
    fmt::print(stderr, "{}: fatal: {}\n", program, fatal.text);
    if (log::opened()) { log::fatal("{}", fatal.text); }
    return fatal.status;
  }
}

}  // namespace stagepost::sendmail
