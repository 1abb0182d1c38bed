// daemon::run: from exec to exit. See daemon.hpp.
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/defer.hpp"
#include "base/sys.hpp"
#include "base/work_pace.hpp"
#include "config/debugger.hpp"
#include "config/log_settings.hpp"
#include "daemon/context_impl.hpp"
#include "daemon/privileges.hpp"
#include "daemon/sandbox.hpp"
#include "log/log.hpp"
#include "mail/icu.hpp"
#include "maps/context.hpp"
#include "maps/module_loading.hpp"

namespace stagepost::daemon {
namespace {

/// Descriptor 3 is master's status socket: a SOCK_SEQPACKET one.
bool started_by_master() {
  int type = 0;
  socklen_t length = sizeof type;
  return ::getsockopt(ipc::kStatusFd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET;
}

std::string config_directory() {
  const char* from_environment = std::getenv("MAIL_CONFIG");
  return from_environment != nullptr ? from_environment : std::string(config::default_config_directory());
}

void open_log(const Options& options, const config::Snapshot& config, unsigned verbosity) {
  log::open(config::log_settings(config, options.name, verbosity > 0));
}

/// Before the configuration is known, to the system's log, as any daemon.
void open_early_log(const Options& options) {
  log::Settings settings;
  const char* tag = std::getenv("MAIL_LOGTAG");
  settings.program_name = fmt::format("{}/{}", tag != nullptr ? tag : "postfix", options.name);
  settings.destination = log::Destination::syslog;
  log::open(settings);
}

Result<std::vector<unique_fd>> take_listeners(unsigned count) {
  std::vector<unique_fd> listeners;
  for (unsigned i = 0; i < count; ++i) {
    const int fd = ipc::kFirstListenerFd + static_cast<int>(i);
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) { return errno_failure(fmt::format("listener {} is missing", i + 1)); }
    listeners.emplace_back(fd);
    SP_TRY(sys::set_nonblocking(fd));
  }
  return listeners;
}

Result<> confine(const Options& options, const Arguments& arguments, const config::Snapshot& config) {
  if (options.user == User::root && arguments.unprivileged) {
    return failure(fmt::format("service {} requires a privileged process: set the \"unpriv\" column of master.cf to n",
                               arguments.service_name));
  }
  const std::string& queue = config.text("queue_directory");
  const bool jailed = arguments.chroot && ::geteuid() == 0;
  SP_TRY(drop_privileges({.user = options.user == User::mail_owner ? config.text("mail_owner") : "",
                          .chroot_directory = arguments.chroot ? queue : "",
                          .keep_become_user = options.user == User::root}));
  SandboxPlan plan{.allow_exec = options.needs.exec,
                   .allow_network = options.needs.network,
                   .restrict_paths = !options.needs.any_path,
                   .writable_paths = {"/dev/null", "/dev/tty"},
                   .forbid_truncation = options.needs.writes.empty() && !options.needs.any_path};
  for (const std::string_view path : options.needs.writes) {
    if (path == "$data_directory") {
      plan.writable_paths.push_back(config.text("data_directory"));
    } else {
      plan.writable_paths.push_back(fmt::format("{}/{}", jailed ? "" : queue, path));
    }
  }
  for (const std::string& line : enter_sandbox(plan)) { log::debug("sandbox: {}", line); }
  return {};
}

net::Task<> live(Context& context, Context::Impl& impl, Serve serve, Result<>& outcome) {
  impl.start_control(context);
  auto served = co_await serve(context);
  outcome = std::move(served);
  co_await impl.acceptors.cancel_and_join();
  co_await impl.session_tasks.cancel_and_join();
  co_await impl.background.cancel_and_join();
  co_await impl.control.cancel_and_join();
}

Result<> start_and_serve(const Options& options, Arguments arguments, Serve serve) {
  config::LoadOptions load{.config_directory = config_directory(),
                           .overrides = arguments.overrides,
                           .process_name = std::string(options.name),
                           .service_name = arguments.service_name};
  SP_TRY(config::SnapshotPtr normal, config::Snapshot::load(load));
  SP_TRY(config::SnapshotPtr stressed, normal->with({}, true));
  // A policy that an administrator chose stays; commands that are run for users get the normal one back
  // (delivery/command_run.cpp).
  work_pace::follow_load();
  ::tzset();  // before chroot, which may hide the time zone files
  open_log(options, *normal, arguments.verbosity);
  if (mail::icu() == nullptr) { log::warning("the ICU library is missing: no internationalised names"); }
  SP_TRY(auto board, ipc::Scoreboard::attach(unique_fd(ipc::kScoreboardFd)));
  SP_TRY(auto listeners, take_listeners(arguments.listeners));
  if (arguments.debug) { config::run_debugger(*normal); }
  maps::OpenContext tables = maps::make_context(normal, nullptr);
  maps::preload_modules(*normal, tables);
  auto owned = std::make_unique<Context::Impl>(options, std::move(arguments), normal, std::move(stressed),
                                               std::move(board), std::move(listeners), std::move(tables));
  Context::Impl& impl = *owned;
  Context context(std::move(owned));
  if (options.prepare != nullptr) { SP_TRY(impl.prepared, options.prepare(*normal, impl.tables)); }
  impl.confine = [&options, &impl] { return confine(options, impl.arguments, *impl.normal_config); };
  if (!options.set_up_first) { SP_TRY(impl.enter_confinement()); }
  ::fcntl(ipc::kStatusFd, F_SETFD, FD_CLOEXEC);
  impl.loop.on_signal(SIGTERM, [&impl] { impl.begin_shutdown(); });
  impl.loop.on_signal(SIGINT, [&impl] { impl.begin_shutdown(); });
  log::collect([&impl] {
    impl.loop.post([&impl] {
      impl.lines_wait = true;
      impl.line_collected.notify_all();
    });
  });
  const Defer stop_collecting([] { log::collect({}); });
  Result<> outcome;
  impl.loop.run_task(live(context, impl, serve, outcome));
  return outcome;
}

}  // namespace

int run(int argc, char** argv, const Options& options, Serve serve) {
  ::umask(077);
  ::signal(SIGPIPE, SIG_IGN);
  const auto arguments =
      parse_arguments(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), options.name);
  if (!started_by_master() || (arguments && arguments->service_type.empty())) {
    fmt::print(stderr,
               "{}: fatal: this program is started by master(8) as master.cf says; to start the mail system, run "
               "\"postfix start\"\n",
               options.name);
    return 1;
  }
  open_early_log(options);
  try {
    const auto ended =
        arguments ? start_and_serve(options, *arguments, serve) : Result<>(std::unexpected(arguments.error()));
    if (ended) { return 0; }
    log::fatal("{}", ended.error().message());
  } catch (const std::exception& thrown) { log::fatal("unexpected failure: {}", thrown.what()); }
  return 1;
}

}  // namespace stagepost::daemon
