// See the header.
#include "master/startup.hpp"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <fmt/core.h>

#include "base/defer.hpp"
#include "base/descriptor_limit.hpp"
#include "base/sys.hpp"
#include "config/compatibility_level.hpp"
#include "config/debugger.hpp"
#include "config/log_settings.hpp"
#include "log/log.hpp"
#include "master/lock_file.hpp"
#include "master/options.hpp"
#include "master/supervisor.hpp"

namespace stagepost::master {
namespace {

constexpr unsigned kWatchdogSeconds = 1000;

extern "C" void watchdog_expired(int /*signal*/) { ::_exit(1); }

/// Parent's end of -w: waits for one byte (ready) or the end of the child (failed).
struct Readiness {
  unique_fd pipe;
  void ready() {
    if (pipe) {
      const auto told = sys::write_all(pipe.get(), "+");
      if (!told) { log::warning("cannot report readiness: {}", told.error().message()); }
      pipe.reset();
    }
  }
};

std::string config_directory(const Options& options) {
  if (!options.config_directory.empty()) { return options.config_directory; }
  const char* from_environment = std::getenv("MAIL_CONFIG");
  return from_environment != nullptr && *from_environment != '\0' ? from_environment
                                                                  : std::string(config::default_config_directory());
}

Result<SystemConfig> load_config(const std::string& directory) {
  SP_TRY(auto main_cf, config::Snapshot::load({.config_directory = directory, .process_name = "master"}));
  SP_TRY(auto master_cf, config::read_master_cf(directory + "/master.cf"));
  for (const std::string& warning : master_cf.warnings) { log::warning("{}", warning); }
  std::vector<std::string> notes = config::apply_old_chroot_default(master_cf, *main_cf);
  return SystemConfig{.main_cf = std::move(main_cf), .master_cf = std::move(master_cf), .notes = std::move(notes)};
}

void open_log(const config::Snapshot& config, unsigned verbosity, bool to_stderr) {
  log::Settings settings = config::log_settings(config, "master", verbosity > 0);
  settings.copy_to_stderr = to_stderr;
  log::open(settings);
}

/// Forks; the parent waits for readiness and exits with the result, the child returns.
Result<Readiness> go_to_background() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) { return errno_failure("pipe"); }
  unique_fd reader(ends[0]);
  Readiness readiness{.pipe = unique_fd(ends[1])};
  const pid_t child = ::fork();
  if (child < 0) { return errno_failure("fork"); }
  if (child == 0) { return readiness; }
  readiness.pipe.reset();
  // The child always ends this: by a byte, or by dying. The alarm is for a child that hangs while it starts.
  ::signal(SIGALRM, SIG_DFL);
  ::alarm(100);
  std::array<char, 1> byte{};
  const auto got = sys::read(reader.get(), byte);
  ::_exit(got && *got == 1 ? 0 : 1);
}

Result<> detach(const Options& options) {
  if (options.keep_stdio) { return {}; }
  if (!options.init && ::setsid() < 0 && ::getpgrp() != ::getpid()) { return errno_failure("setsid"); }
  SP_TRY(const unique_fd null, sys::open("/dev/null", O_RDWR));
  for (const int fd : {0, 1, 2}) {
    if (fd == 1 && (options.keep_stdout || options.init)) { continue; }
    if (::dup2(null.get(), fd) < 0) { return errno_failure("dup2"); }
  }
  return {};
}

/// Descriptors 0-2 exist, so that nothing else ever gets their numbers.
Result<> fill_standard_descriptors() {
  for (;;) {
    SP_TRY(unique_fd fd, sys::open("/dev/null", O_RDWR));
    if (fd.get() > 2) { return {}; }
    if (::fcntl(fd.release(), F_SETFD, 0) != 0) { return errno_failure("fcntl"); }
  }
}

Result<std::optional<SocketOwner>> find_owner(const config::Snapshot& config) {
  if (::geteuid() != 0) { return std::nullopt; }
  const std::string& name = config.text("mail_owner");
  const passwd* entry = ::getpwnam(name.c_str());
  if (entry == nullptr) { return failure(fmt::format("mail_owner: unknown user name value: {}", name)); }
  if (entry->pw_uid == 0) { return failure(fmt::format("mail_owner: user {} has privileged user ID", name)); }
  return SocketOwner{.uid = entry->pw_uid, .gid = entry->pw_gid};
}

/// data_directory is mail_owner's, so its lock file is created with that user's rights only.
Result<unique_fd> lock_data_directory(const std::string& path, const std::optional<SocketOwner>& owner) {
  if (owner && (::setegid(owner->gid) != 0 || ::seteuid(owner->uid) != 0)) { return errno_failure("seteuid"); }
  auto lock = take_lock(path);
  if (owner && (::seteuid(0) != 0 || ::setegid(0) != 0)) { return errno_failure("seteuid 0"); }
  return lock;
}

void connect_signals(Reactor& reactor, Supervisor& supervisor) {
  reactor.on_signal([&supervisor](int number) {
    switch (number) {
      case SIGHUP:
        supervisor.reload();
        break;
      case SIGCHLD:
        supervisor.reap();
        break;
      case SIGABRT:
        log::info("terminating on signal {}", number);
        supervisor.abort();
        break;
      case SIGTERM:
      case SIGINT:
        log::info("terminating on signal {}", number);
        supervisor.stop();
        break;
      default:
        break;
    }
  });
}

Result<> supervise(const Options& options, const std::string& directory, const SystemConfig& config,
                   Readiness& readiness) {
  SP_TRY(const auto owner, find_owner(*config.main_cf));
  SP_TRY(const unique_fd pid_lock, take_lock("pid/master.pid"));
  SP_TRY(const unique_fd data_lock,
         lock_data_directory(config.main_cf->text("data_directory") + "/master.lock", owner));
  sys::raise_descriptor_limit();
  auto reactor = Reactor::create({SIGHUP, SIGTERM, SIGINT, SIGCHLD, SIGABRT});
  if (!reactor) { return std::unexpected(std::move(reactor).error()); }
  ::signal(SIGPIPE, SIG_IGN);
  // The default action of the watchdog's signal is right, but the kernel spares process 1 from it.
  if (options.init) { ::signal(SIGALRM, watchdog_expired); }
  auto log_config = std::make_shared<config::SnapshotPtr>(config.main_cf);
  const unsigned verbosity = options.verbosity;
  SupervisorOptions settings;
  settings.verbosity = verbosity;
  settings.debug = options.debug;
  settings.owner = owner;
  settings.cores = std::max(1U, std::thread::hardware_concurrency());
  settings.reopen_log = [log_config, verbosity, to_stderr = options.keep_stdio] {
    open_log(**log_config, verbosity, to_stderr);
  };
  settings.load = [directory, log_config]() -> Result<SystemConfig> {
    SP_TRY(SystemConfig loaded, load_config(directory));
    if (loaded.main_cf->text("queue_directory") != (*log_config)->text("queue_directory")) {
      return failure("queue_directory cannot change while the mail system runs: use \"postfix stop\" and \"start\"");
    }
    *log_config = loaded.main_cf;
    return loaded;
  };
  Supervisor supervisor(*reactor, std::move(settings));
  connect_signals(*reactor, supervisor);
  SP_TRY(supervisor.start(config));
  for (const std::string& note : config.notes) { log::info("{}", note); }
  log::info("daemon started -- version {}, configuration {}", config.main_cf->text("mail_version"), directory);
  if (options.debug) { config::run_debugger(*config.main_cf); }
  readiness.ready();
  if (options.exit_time) {
    reactor->after(*options.exit_time, [&supervisor] { supervisor.stop(); });
  }
  // A master that hangs is worse than none: the service manager starts a new one.
  const auto watchdog = [] { ::alarm(kWatchdogSeconds); };
  return reactor->run(std::chrono::seconds(kWatchdogSeconds / 3), watchdog);
}

int fail(const std::string& text) {
  log::fatal("{}", text);
  return 1;
}

}  // namespace

int run_master(int argc, char** argv) {
  ::umask(077);
  log::Settings early;
  early.program_name = "postfix/master";
  log::open(early);
  if (const auto filled = fill_standard_descriptors(); !filled) { return fail(filled.error().message()); }
  const auto options = parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!options) { return fail(options.error().context); }
  if (options->init && ::getpid() != 1) { return fail("-i is allowed only for PID 1 process"); }
  const std::string directory = config_directory(*options);
  ::setenv("MAIL_CONFIG", directory.c_str(), 1);
  auto config = load_config(directory);
  if (!config) { return fail(config.error().message()); }
  const std::string& queue_directory = config->main_cf->text("queue_directory");
  if (::chdir(queue_directory.c_str()) != 0) {
    return fail(errno_failure("chdir " + queue_directory).error().message());
  }
  if (options->test_lock) {
    const auto locked = is_locked("pid/master.pid");
    return locked && !*locked ? 0 : 1;
  }
  Readiness readiness;
  if (options->wait) {
    auto background = go_to_background();
    if (!background) { return fail(background.error().message()); }
    readiness = std::move(*background);
  }
  open_log(*config->main_cf, options->verbosity, true);
  if (const auto done = detach(*options); !done) { return fail(done.error().message()); }
  const auto ended = supervise(*options, directory, *config, readiness);
  return ended ? 0 : fail(ended.error().message());
}

}  // namespace stagepost::master
