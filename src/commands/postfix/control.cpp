// See the header.
#include "commands/postfix/control.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/safe_text.hpp"
#include "base/subprocess.hpp"
#include "base/sys.hpp"
#include "commands/postfix/announce.hpp"
#include "commands/postfix/chroot_files.hpp"
#include "commands/postfix/configuration_check.hpp"
#include "commands/postfix/integrity.hpp"
#include "commands/postfix/log_rotation.hpp"
#include "commands/postfix/mail_system.hpp"
#include "commands/postfix/multi_instance.hpp"
#include "commands/postfix/options.hpp"
#include "commands/postfix/upgrade.hpp"
#include "config/compatibility_level.hpp"
#include "config/log_settings.hpp"
#include "queue/journal_recovery.hpp"

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
  int empty_journal();
  int abort();
  int reload();
  int status();
  /// Old left-overs of crashes can wait until the mail system runs; names of queue files cannot.
  enum class Leftovers : std::uint8_t { purge, keep };
  int check(Leftovers leftovers);
  void prepare_chroot() const;
  int flush();
  int set_permissions();
  int upgrade_configuration();
  int rotate();
  int post_install();
  /// Writes name=value arguments to main.cf where they differ from what is there.
  Result<> write_parameters();

  /// Process ID, or nullopt after having said that nothing runs (or why that cannot be told).
  std::optional<pid_t> require_running();
  bool signal(pid_t pid, int number);
  std::vector<std::string> master_command(const std::string& mode) const;
  int run_program(const std::vector<std::string>& command) const;

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

int Control::run_program(const std::vector<std::string>& command) const {
  const auto status = sys::run_program(command);
  if (!status) { say_.fatal(status.error().message()); }
  return status ? *status : 1;
}

std::vector<std::string> Control::master_command(const std::string& mode) const {
  std::vector<std::string> command{config_->text("daemon_directory") + "/master", mode};
  for (unsigned i = 0; i < options_.verbosity; ++i) { command.emplace_back("-v"); }
  if (options_.debug) { command.emplace_back("-D"); }
  return command;
}

int Control::check(Leftovers leftovers) {
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
  auto master = config::read_master_cf(config_->config_directory() + "/master.cf");
  if (!master) {
    say_.fatal(master.error().message());
    return 1;
  }
  static_cast<void>(config::apply_old_chroot_default(*master, *config_));
  for (const std::string& warning : configuration_warnings(*config_, *master)) { say_.warning(warning); }
  for (const std::string& warning : broken_rules(*rules, *config_)) { say_.warning(warning); }
  // Queue files whose name does not fit their inode (restored from a backup), and left-overs of a crash.
  const std::string postsuper = config_->text("command_directory") + "/postsuper";
  if (!sys::stat(postsuper)) { return 0; }
  return run_program(leftovers == Leftovers::purge ? std::vector{postsuper}
                                                   : std::vector<std::string>{postsuper, "-s"});
}

/// A failure costs look-ups through the C library only, so the mail system starts all the same.
void Control::prepare_chroot() const {
  if (::geteuid() != 0) { return; }
  auto master_cf = config::read_master_cf(config_->config_directory() + "/master.cf");
  if (master_cf) { static_cast<void>(config::apply_old_chroot_default(*master_cf, *config_)); }
  if (!master_cf || !uses_chroot(*master_cf) || !sys::stat(config_->text("queue_directory"))) { return; }
  const auto filled = fill_chroot("/etc", config_->text("queue_directory"));
  if (!filled) { say_.warning("files for chroot: " + filled.error().message()); }
}

int Control::start(bool foreground) {
  if (foreground && (!config_->list("multi_instance_directories").empty() || is_secondary_instance(*config_))) {
    say_.fatal("start-fg does not support multi_instance_directories");
    return 1;
  }
  const auto pid = system_.running();
  if (!pid) {
    say_.fatal(pid.error().message());
    return 1;
  }
  if (*pid) {
    say_.fatal("the Postfix mail system is already running");
    return 1;
  }
  prepare_chroot();  // before the check, which would find old copies; again below when it makes the queue directory
  // As process 1 of a container, this one must not leave a child to master.
  if (check(foreground ? Leftovers::purge : Leftovers::keep) != 0) {
    say_.fatal("Postfix integrity check failed!");
    return 1;
  }
  prepare_chroot();
  say_.info("starting the Postfix mail system");
  if (foreground) {
    // Not a child: as process 1 of a container, master has to be this process.
    say_.fatal(sys::replace_program(master_command(::getpid() == 1 ? "-i" : "-s")).message());
    return 1;
  }
  if (run_program(master_command("-w")) != 0) {
    say_.fatal("mail system startup failed");
    return 1;
  }
  // It looks at each file of the queue, which may take seconds.
  const std::string postsuper = config_->text("command_directory") + "/postsuper";
  if (sys::stat(postsuper)) {
    const auto left = sys::leave_program({postsuper, "-p"});
    if (!left) { say_.warning(left.error().message()); }
  }
  return 0;
}

int Control::stop() {
  const auto pid = require_running();
  if (!pid) { return 1; }
  say_.info("stopping the Postfix mail system");
  if (!signal(*pid, SIGTERM)) { return 1; }
  if (!system_.wait_until_gone(kStopLimit)) {
    say_.warning("stopping the Postfix mail system with force");
    if (!signal(*pid, SIGKILL) || !system_.wait_until_gone(kStopLimit)) { return 1; }
  }
  return empty_journal();
}

/// Processes that had to be killed could not empty their journals; any Postfix must be able to take over the spool.
int Control::empty_journal() {
  if (queue::journal::is_empty(config_->text("queue_directory") + "/journal")) { return 0; }
  const std::string postsuper = config_->text("command_directory") + "/postsuper";
  return run_program({postsuper, "-s", "incoming"});
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
  prepare_chroot();
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
  say_.fatal(sys::replace_program({config_->text("command_directory") + "/postqueue", "-f"}).message());
  return 1;
}

int Control::set_permissions() {
  auto rules = integrity_rules(*config_);
  // Not before the new values are known to be good.
  if (const auto written = rules ? write_parameters() : Result<>{}; !written) {
    say_.fatal(written.error().message());
    return 1;
  }
  auto done = rules ? create_missing(*config_) : Result<>(std::unexpected(rules.error()));
  if (done) { done = repair(*rules); }
  if (!done) {
    say_.fatal(done.error().message());
    return 1;
  }
  return 0;
}

Result<> Control::write_parameters() {
  const auto current = config::Snapshot::load(
      {.config_directory = config_->config_directory(), .check = config::LoadOptions::Check::no});
  if (!current) { return std::unexpected(current.error()); }
  std::vector<std::string> command{config_->text("command_directory") + "/postconf", "-c", config_->config_directory(),
                                   "-e"};
  const std::size_t fixed = command.size();
  for (const std::string& argument : options_.parameters()) {
    const auto equals = argument.find('=');
    const auto value = (*current)->find_text(argument.substr(0, equals));
    if (!value) {
      say_.warning(fmt::format("unknown parameter: {}", argument));
    } else if (*value != argument.substr(equals + 1)) {
      command.push_back(argument);
    }
  }
  if (command.size() > fixed && run_program(command) != 0) {
    return failure(fmt::format("cannot update {}/main.cf", config_->config_directory()));
  }
  return {};
}

int Control::upgrade_configuration() {
  const auto rules = integrity_rules(*config_);
  auto done = rules ? write_parameters() : Result<>(std::unexpected(rules.error()));
  if (done) {
    done = upgrade_services(config_->config_directory(), [](std::string_view line) { fmt::print("{}\n", line); });
  }
  if (done) { done = create_missing(*config_); }
  if (done) { return 0; }
  say_.fatal(done.error().message());
  return 1;
}

int Control::rotate() {
  const auto rotated = rotate_log(*config_, [this] {
    const auto pid = system_.running();
    return pid && *pid && ::kill(**pid, SIGHUP) == 0;
  });
  if (rotated) { return 0; }
  say_.fatal(rotated.error().message());
  return 1;
}

int Control::post_install() {
  const std::string action = options_.post_install_action();
  if (action == "create-missing") {
    const auto created = create_missing(*config_);
    if (!created) { say_.fatal(created.error().message()); }
    return created ? 0 : 1;
  }
  if (action == "set-permissions" || action == "upgrade-permissions") { return set_permissions(); }
  if (action == "upgrade-configuration") { return upgrade_configuration(); }
  if (action == "upgrade-source" || action == "upgrade-package") {
    const int status = set_permissions();
    return status == 0 ? upgrade_configuration() : status;
  }
  if (action == "first-install-reminder") {
    fmt::print(
        "Before the first start, look at myorigin, mydestination and mynetworks in {}/main.cf, make sure that mail "
        "for\n"
        "root reaches a person (aliases), and run newaliases.\n",
        config_->config_directory());
    return 0;
  }
  say_.fatal(
      "usage: postfix post-install [name=value ...] create-missing (or set-permissions, upgrade-configuration, "
      "upgrade-source, upgrade-package, first-install-reminder)");
  return 1;
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
      return check(Leftovers::purge);
    case Command::flush:
      return flush();
    case Command::set_permissions:
      return set_permissions();
    case Command::drain:
      return stop();
    case Command::quick_stop: {
      const auto pid = system_.running();
      const bool idle = pid && !*pid;
      const int status = stop();
      return idle ? 0 : status;
    }
    case Command::upgrade_configuration:
      return upgrade_configuration();
    case Command::logrotate:
      return rotate();
    case Command::post_install:
      return post_install();
  }
  return 1;
}

int fail(std::string_view text) {
  fmt::print(stderr, "postfix: fatal: {}\n", text);
  return 1;
}

/// COMPATIBILITY_README: every use of the command says that old defaults are in force.
void remind_of_level(const config::Snapshot& config) {
  if (!config::is_below_level(config, config::kLastCompatibilityLevel)) { return; }
  const Announcer say(config, config.text("syslog_name"));
  say.info("Postfix is using backwards-compatible default settings");
  say.info("See http://www.postfix.org/COMPATIBILITY_README.html for details");
  say.info(
      fmt::format("To disable backwards compatibility use \"postconf compatibility_level={}\" and \"postfix reload\"",
                  config::kLastCompatibilityLevel));
}

}  // namespace

int run(int argc, char** argv) {
  ::umask(022);
  const auto options = parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!options) { return fail(options.error().context); }
  std::string directory = options->config_directory;
  const char* from_environment = std::getenv("MAIL_CONFIG");
  if (directory.empty() && from_environment != nullptr) { directory = from_environment; }
  config::LoadOptions load;
  load.config_directory = directory;
  load.process_name = "postfix";
  for (const std::string& argument : options->parameters()) {
    const auto equals = argument.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(fmt::format("{}: want name=value, not \"{}\"", options->command, argument));
    }
    load.overrides.emplace_back(argument.substr(0, equals), argument.substr(equals + 1));
  }
  auto config = config::Snapshot::load(load);
  if (!config) {
    // Whoever repairs the file wants to know of all mistakes at once.
    load.check = config::LoadOptions::Check::no;
    const auto unchecked = config::Snapshot::load(load);
    if (unchecked && (options->command == "check" || options->command == "start")) {
      for (const std::string& problem : (*unchecked)->problems()) {
        fmt::print(stderr, "postfix: error: {}\n", problem);
      }
    }
    return fail(config.error().message());
  }
  const std::string& log_file = (*config)->text("maillog_file");
  if (!log_file.empty() && !config::log_file_allowed(log_file, (*config)->list("maillog_file_prefixes"))) {
    return fail(fmt::format("maillog_file value '{}' does not match any prefix in maillog_file_prefixes", log_file));
  }
  if (options->debug) { ::setenv("MAIL_DEBUG", "", 1); }
  if (options->verbosity > 0) { ::setenv("MAIL_VERBOSE", "", 1); }
  export_parameters(**config);
  // A named instance is one instance, also for what runs below this process.
  if (options->config_directory.empty() && from_environment == nullptr) {
    std::vector<std::string> words;
    if (!options->command.empty()) { words.push_back(options->command); }
    words.insert(words.end(), options->arguments.begin(), options->arguments.end());
    const auto manager = manager_command(**config, words);
    if (!manager) { return fail(manager.error().context); }
    if (!manager->empty()) {
      const Error error = sys::replace_program(*manager);
      return fail(fmt::format("{}: {}", manager->front(), error.code.message()));
    }
  }
  ::setenv("MAIL_CONFIG", (*config)->config_directory().c_str(), 1);
  remind_of_level(**config);
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
