#include "commands/postlock/postlock.hpp"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/subprocess.hpp"
#include "base/sys.hpp"
#include "config/log_settings.hpp"
#include "config/snapshot.hpp"
#include "delivery/mailbox_lock.hpp"
#include "log/log.hpp"

namespace stagepost::postlock {
namespace {

constexpr const char* kUsage = "usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...";

struct Fatal {
  std::string text;
  int status = EX_TEMPFAIL;
};

struct Arguments {
  std::string config_directory;
  std::string lock_style;
  bool verbose = false;
  std::string folder;
  std::vector<std::string> command;
};

Arguments parse_arguments(int argc, char** argv) {
  Arguments arguments;
  if (const char* directory = std::getenv("MAIL_CONFIG")) { arguments.config_directory = directory; }
  // "+": the command has options of its own.
  for (int option = 0; (option = ::getopt(argc, argv, "+c:l:v")) != -1;) {
    switch (option) {
      case 'c':
        arguments.config_directory = ::optarg;
        break;
      case 'l':
        arguments.lock_style = ::optarg;
        break;
      case 'v':
        arguments.verbose = true;
        break;
      default:
        throw Fatal{kUsage};
    }
  }
  if (argc - ::optind < 2) { throw Fatal{kUsage}; }
  arguments.folder = argv[::optind];
  arguments.command.assign(argv + ::optind + 1, argv + argc);
  return arguments;
}

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

/// Opens the folder as the delivery agent does: a symbolic link counts only where root made it.
unique_fd open_folder(const std::string& path) {
  const auto refuse = [&](std::string_view why) -> Fatal { return {fmt::format("open file {}: {}", path, why)}; };
  int flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_CREAT | O_NOFOLLOW;
  const auto link = sys::lstat(path);
  if (link && S_ISLNK(link->st_mode)) {
    const auto parent = sys::stat(directory_of(path));
    if (link->st_uid != 0 || !parent || parent->st_uid != 0 || (parent->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
      throw refuse("file is a symbolic link");
    }
    flags &= ~(O_NOFOLLOW | O_CREAT);
  }
  auto file = sys::open(path, flags, 0600);
  if (!file) { throw refuse("cannot open file: " + file.error().code.message()); }
  const auto status = sys::fstat(file->get());
  if (!status) { throw refuse(status.error().message()); }
  if (S_ISREG(status->st_mode) && status->st_nlink > 1) {
    throw refuse(fmt::format("file has {} hard links", status->st_nlink));
  }
  return *std::move(file);
}

int lock_and_run(const Arguments& arguments, const config::Snapshot& config) {
  auto styles = delivery::parse_lock_styles(arguments.lock_style.empty() ? config.text("mailbox_delivery_lock")
                                                                         : std::string_view(arguments.lock_style));
  if (!styles) { throw Fatal{styles.error().context}; }
  const delivery::LockPolicy policy{.styles = *std::move(styles),
                                    .attempts = static_cast<unsigned>(config.integer("deliver_lock_attempts")),
                                    .delay = config.seconds("deliver_lock_delay"),
                                    .stale_lock_time = config.seconds("stale_lock_time")};
  std::optional<delivery::DotLock> dot_lock;
  if (policy.styles.contains(delivery::LockStyle::dotlock)) {
    auto lock = delivery::DotLock::acquire(arguments.folder, policy);
    if (!lock) {
      const bool taken = lock.error().is(std::errc::resource_unavailable_try_again);
      throw Fatal{fmt::format("open file {}: {}: {}", arguments.folder, lock.error().context,
                              taken ? std::strerror(EEXIST) : lock.error().code.message())};
    }
    dot_lock.emplace(std::move(*lock));
  }
  const unique_fd folder = open_folder(arguments.folder);
  if (const auto locked = delivery::lock_mailbox(folder.get(), arguments.folder, policy); !locked) {
    throw Fatal{fmt::format("open file {}: unable to lock for exclusive access: {}", arguments.folder,
                            locked.error().code.message())};
  }
  const auto status = sys::run_program(arguments.command);
  if (!status) {
    throw Fatal{fmt::format("execvp {}: {}", arguments.command.front(), status.error().code.message()), 1};
  }
  return *status;
}

}  // namespace

int run(int argc, char** argv) {
  bool log_open = false;
  try {
    const Arguments arguments = parse_arguments(argc, argv);
    const auto config =
        config::Snapshot::load({.config_directory = arguments.config_directory, .process_name = "postlock"});
    if (!config) { throw Fatal{config.error().message()}; }
    log::open(config::log_settings(**config, "postlock", arguments.verbose));
    log_open = true;
    return lock_and_run(arguments, **config);
  } catch (const Fatal& fatal) {
    fmt::print(stderr, "postlock: fatal: {}\n", fatal.text);
    if (log_open) { log::fatal("{}", fatal.text); }
    return fatal.status;
  }
}

}  // namespace stagepost::postlock
