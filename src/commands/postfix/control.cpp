// See the header.
#include "commands/postfix/control.hpp"

#include <cerrno>
#include <cstdlib>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "commands/postfix/announce.hpp"
#include "commands/postfix/integrity.hpp"
#include "commands/postfix/mail_system.hpp"
#include "commands/postfix/options.hpp"

namespace stagepost::postfix {
namespace {

/// Master gives its children 8 s to finish (master/supervisor.hpp).
constexpr std::chrono::seconds kStopLimit{12};

class Control {
 public:
  Control(const Options& options, config::SnapshotPtr config)
      : options_(options), config_(std::move(config)), say_(*config_), system_(config_->text("queue_directory")) {}

  int execute(Command command);

 private:
  int start(bool foreground);
  int stop();
  int abort();
  int reload();
  int status();
  int check();
  int flush();
  int set_permissions();

  /// Process ID, or nullopt after having said that nothing runs (or why that cannot be told).
  std::optional<pid_t> require_running();
  bool signal(pid_t pid, int number);
  std::vector<std::string> master_command(const std::string& mode) const;
  int run_program(const std::vector<std::string>& command) const;
  void replace_by(const std::vector<std::string>& command) const;

  Options options_;
  config::SnapshotPtr config_;
  Announcer say_;
  MailSystem system_;
};

std::optional<pid_t> Control::require_running() {
  const auto pid = system_.running();
  if (!pid) {
    say_.fatal(pid.error().message());
    return std::nullopt;
  }
  if (!*pid) { say_.fatal("the Postfix mail system is not running"); }
  return *pid;
}

bool Control::signal(pid_t pid, int number) {
  if (::kill(pid, number) != 0) {
    say_.fatal(errno_failure(fmt::format("signal process {}", pid)).error().message());
    return false;
  }
  return true;
}

void Control::replace_by(const std::vector<std::string>& command) const {
  std::vector<char*> argv;
  for (const std::string& argument : command) { argv.push_back(const_cast<char*>(argument.c_str())); }
  argv.push_back(nullptr);
  ::execv(argv.front(), argv.data());
}

int Control::run_program(const std::vector<std::string>& command) const {
  const pid_t child = ::fork();
  if (child == 0) {
    replace_by(command);
    fmt::print(stderr, "postfix: fatal: {}\n", errno_failure("exec " + command.front()).error().message());
    ::_exit(127);
  }
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

std::vector<std::string> Control::master_command(const std::string& mode) const {
  std::vector<std::string> command{config_->text("daemon_directory") + "/master", mode};
  for (unsigned i = 0; i < options_.verbosity; ++i) { command.emplace_back("-v"); }
  if (options_.debug) { command.emplace_back("-D"); }
  return command;
}

int Control::check() {
  for (const char* name : {"/main.cf", "/master.cf"}) {
    const std::string path = config_->config_directory() + name;
    if (!sys::stat(path)) {
      say_.fatal(fmt::format("no {} file found", path));
      return 1;
    }
  }
  const auto rules = integrity_rules(*config_);
  if (!rules) {
    say_.fatal(rules.error().message());
    return 1;
  }
  if (const auto created = create_missing(*config_); !created) {
    say_.fatal(created.error().message());
    return 1;
  }
  for (const std::string& warning : config_->warnings()) { say_.warning(warning); }
  for (const std::string& warning : broken_rules(*rules, *config_)) { say_.warning(warning); }
  // Queue files whose name does not fit their inode (restored from a backup), and left-overs of a crash.
  const std::string postsuper = config_->text("command_directory") + "/postsuper";
  return sys::stat(postsuper) ? run_program({postsuper}) : 0;
}

int Control::start(bool foreground) {
  const auto pid = system_.running();
  if (!pid) {
    say_.fatal(pid.error().message());
    return 1;
  }
  if (*pid) {
    say_.fatal("the Postfix mail system is already running");
    return 1;
  }
  if (check() != 0) {
    say_.fatal("Postfix integrity check failed!");
    return 1;
  }
  say_.info("starting the Postfix mail system");
  if (foreground) {
    // Not a child: as process 1 of a container, master has to be this process.
    replace_by(master_command(::getpid() == 1 ? "-i" : "-s"));
    say_.fatal(errno_failure("exec master").error().message());
    return 1;
  }
  if (run_program(master_command("-w")) != 0) {
    say_.fatal("mail system startup failed");
    return 1;
  }
  return 0;
}

int Control::stop() {
  const auto pid = require_running();
  if (!pid) { return 1; }
  say_.info("stopping the Postfix mail system");
  if (!signal(*pid, SIGTERM)) { return 1; }
  if (system_.wait_until_gone(kStopLimit)) { return 0; }
  say_.warning("stopping the Postfix mail system with force");
  if (!signal(*pid, SIGKILL)) { return 1; }
  return system_.wait_until_gone(kStopLimit) ? 0 : 1;
}

int Control::abort() {
  const auto pid = require_running();
  if (!pid) { return 1; }
  say_.info("aborting the Postfix mail system");
  if (!signal(*pid, SIGABRT)) { return 1; }
  return system_.wait_until_gone(kStopLimit) ? 0 : 1;
}

int Control::reload() {
  const auto pid = require_running();
  if (!pid) { return 1; }
  say_.info("refreshing the Postfix mail system");
  return signal(*pid, SIGHUP) ? 0 : 1;
}

int Control::status() {
  const auto pid = system_.running();
  if (!pid) {
    say_.fatal(pid.error().message());
    return 1;
  }
  say_.info(*pid ? fmt::format("the Postfix mail system is running: PID: {}", **pid)
                 : "the Postfix mail system is not running");
  return *pid ? 0 : 1;
}

int Control::flush() {
  replace_by({config_->text("command_directory") + "/postqueue", "-f"});
  say_.fatal(errno_failure("exec postqueue").error().message());
  return 1;
}

int Control::set_permissions() {
  auto rules = integrity_rules(*config_);
  auto done = rules ? create_missing(*config_) : Result<>(std::unexpected(rules.error()));
  if (done) { done = repair(*rules); }
  if (!done) {
    say_.fatal(done.error().message());
    return 1;
  }
  return 0;
}

int Control::execute(Command command) {
  switch (command) {
    case Command::start:
      return start(false);
    case Command::start_fg:
      return start(true);
    case Command::stop:
      return stop();
    case Command::abort:
      return abort();
    case Command::reload:
      return reload();
    case Command::status:
      return status();
    case Command::check:
      return check();
    case Command::flush:
      return flush();
    case Command::set_permissions:
      return set_permissions();
  }
  return 1;
}

int fail(std::string_view text) {
  fmt::print(stderr, "postfix: fatal: {}\n", text);
  return 1;
}

}  // namespace

int run(int argc, char** argv) {
  ::umask(022);
  const auto options = parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!options) { return fail(options.error().context); }
  std::string directory = options->config_directory;
  if (const char* from_environment = std::getenv("MAIL_CONFIG"); directory.empty() && from_environment != nullptr) {
    directory = from_environment;
  }
  config::LoadOptions load;
  load.config_directory = directory;
  load.process_name = "postfix";
  if (options->command == "set-permissions") {
    for (const std::string& argument : options->arguments) {
      const auto equals = argument.find('=');
      if (equals == std::string::npos) { return fail("set-permissions: want name=value, not \"" + argument + "\""); }
      load.overrides.emplace_back(argument.substr(0, equals), argument.substr(equals + 1));
    }
  }
  auto config = config::Snapshot::load(load);
  if (!config) { return fail(config.error().message()); }
  ::setenv("MAIL_CONFIG", (*config)->config_directory().c_str(), 1);
  if (options->debug) { ::setenv("MAIL_DEBUG", "", 1); }
  if (options->verbosity > 0) { ::setenv("MAIL_VERBOSE", "", 1); }
  const auto command = command_named(options->command);
  if (!command) {
    const Announcer say(**config);
    const std::string_view nearest = nearest_command(options->command);
    const std::string suggestion = nearest.empty() ? "" : fmt::format(". Did you mean {}?", nearest);
    say.fatal(
        fmt::format("unknown command: '{}'. Usage: postfix {}{}", printable(options->command), kCommands, suggestion));
    return 1;
  }
  return Control(*options, *config).execute(*command);
}

}  // namespace stagepost::postfix
