#include "commands/postsuper/postsuper.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <grp.h>
#include <iostream>
#include <map>
#include <pwd.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "base/nearest_name.hpp"
#include "base/progress.hpp"
#include "base/sys.hpp"
#include "commands/postsuper/maintenance.hpp"
#include "config/log_settings.hpp"
#include "config/snapshot.hpp"
#include "log/log.hpp"
#include "queue/hashing_settings.hpp"

namespace stagepost::postsuper {
namespace {

using enum queue::QueueName;
using queue::QueueName;

constexpr const char* kUsage =
    "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] [-f queue_id (expire and/or "
    "un-hold)] "
    "[-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] [-r queue_id (requeue)] "
    "[-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]";

// Queues that are looked at when none is named.
const std::vector<QueueName> kDefaultQueues{defer, bounce, maildrop, incoming, active, deferred, hold, flush};

// Ends the program from any depth of run(), which catches it.
struct Fatal {
  std::string text;
};

// What a walk through a queue has seen so far.
Progress& progress() {
  static Progress files("files looked at");
  return files;
}

// One line to the log and to the terminal, as Postfix's commands do.
void report(log::Level level, std::string_view text) {
  progress().hide();
  fmt::print(stderr, "postsuper: {}\n", log::labelled(level, text));
  if (log::opened()) { log::write(level, text); }
}

void warn(std::string_view text) { report(log::Level::warning, text); }

struct Arguments {
  std::string config_directory;
  bool purge = false;
  bool repair = false;
  bool repair_long_names = false;
  bool verbose = false;
  std::vector<std::pair<Action, Selection>> actions;  // in the order of the command line
  std::vector<std::string> bad_ids;                   // Reported when the log is open.
  std::vector<std::string> queues;
};

void select(Arguments& arguments, Selection& selection, const std::string& text) {
  if (const auto id = queue::QueueId::parse(text)) {
    selection.ids.push_back(*id);
  } else {
    arguments.bad_ids.push_back(text);
  }
}

Arguments parse_arguments(int argc, char** argv) {
  const std::map<int, Action> letters{{'d', Action::remove}, {'e', Action::expire},  {'f', Action::expire_and_release},
                                      {'h', Action::hold},   {'H', Action::release}, {'r', Action::requeue}};
  Arguments arguments;
  for (int option = 0; (option = ::getopt(argc, argv, "c:d:e:f:h:H:pr:sSv")) > 0;) {
    switch (option) {
      case 'c':
        arguments.config_directory = ::optarg;
        break;
      case 'p':
        arguments.purge = true;
        break;
      case 's':
        arguments.repair = true;
        break;
      case 'S':
        arguments.repair = arguments.repair_long_names = true;
        break;
      case 'v':
        arguments.verbose = true;
        break;
      default: {
        const auto letter = letters.find(option);
        if (letter == letters.end()) { throw Fatal{kUsage}; }
        if (arguments.actions.empty() || arguments.actions.back().first != letter->second ||
            arguments.actions.back().second.all) {
          arguments.actions.emplace_back(letter->second, Selection{});
        }
        Selection& selection = arguments.actions.back().second;
        // Not on standard input: a list made by a script never means everything.
        if (std::string_view(::optarg) == "ALL") {
          selection.all = true;
          break;
        }
        if (std::string_view(::optarg) != "-") {
          select(arguments, selection, ::optarg);
          break;
        }
        for (std::string line; std::getline(std::cin, line);) { select(arguments, selection, line); }
      }
    }
  }
  arguments.queues.assign(argv + ::optind, argv + argc);
  if (arguments.actions.empty() && !arguments.purge && !arguments.repair) { arguments.purge = arguments.repair = true; }
  return arguments;
}

void open_log(const config::Snapshot& config, bool verbose) {
  log::open(config::log_settings(config, "postsuper", verbose));
}

// The queue's files belong to mail_owner; as that user nothing outside can be touched by a hostile link or name.
void become_mail_owner(const config::Snapshot& config) {
  if (::geteuid() != 0) {
    // A rootless installation: the user who owns the queue is its superuser.
    const auto status = sys::stat(config.text("queue_directory"));
    if (!status || status->st_uid != ::geteuid()) { throw Fatal{"use of this command is reserved for the superuser"}; }
    return;
  }
  const std::string& name = config.text("mail_owner");
  const passwd* user = ::getpwnam(name.c_str());
  if (user == nullptr) { throw Fatal{fmt::format("unknown user: mail_owner = {}", name)}; }
  const uid_t uid = user->pw_uid;
  const gid_t gid = user->pw_gid;
  if (uid == 0 || ::setgroups(1, &gid) != 0 || ::setgid(gid) != 0 || ::setuid(uid) != 0) {
    throw Fatal{fmt::format("cannot become {}", name)};
  }
}

std::vector<QueueName> queues_of(const Arguments& arguments) {
  if (arguments.queues.empty()) { return kDefaultQueues; }
  std::vector<QueueName> queues;
  for (const auto& name : arguments.queues) {
    const auto queue = queue::queue_name(name);
    if (!queue || *queue == corrupt || *queue == saved) {
      constexpr std::array<std::string_view, 5> kNames{"maildrop", "incoming", "active", "deferred", "hold"};
      throw Fatal{fmt::format("invalid directory name: {}{}", name, did_you_mean(name, kNames))};
    }
    queues.push_back(*queue);
  }
  return queues;
}

void must(const Result<>& result) {
  if (!result) { throw Fatal{result.error().message()}; }
}

void report_counts(const Arguments& arguments, const Counters& counters) {
  const auto say = [](std::string_view what, std::uint64_t count) {
    report(log::Level::info, fmt::format("{}: {} message{}", what, count, count == 1 ? "" : "s"));
  };
  const auto wanted = [&](Action action) {
    return std::ranges::any_of(arguments.actions, [&](const auto& chosen) { return chosen.first == action; });
  };
  if (wanted(Action::requeue)) { say("Requeued", counters.requeued); }
  if (wanted(Action::remove)) { say("Deleted", counters.removed); }
  if (wanted(Action::expire) || wanted(Action::expire_and_release)) { say("Force-expired", counters.expired); }
  if (wanted(Action::hold)) { say("Placed on hold", counters.held); }
  if (wanted(Action::release) || wanted(Action::expire_and_release)) { say("Released from hold", counters.released); }
  if (counters.renamed > 0) {
    say("Renamed to match inode number", counters.renamed);
    warn("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS");
  }
}

void run_or_throw(int argc, char** argv) {
  const Arguments arguments = parse_arguments(argc, argv);
  std::string config_directory = arguments.config_directory;
  if (const char* environment = std::getenv("MAIL_CONFIG"); config_directory.empty() && environment != nullptr) {
    config_directory = environment;
  }
  const auto config = config::Snapshot::load({.config_directory = config_directory, .process_name = "postsuper"});
  if (!config) { throw Fatal{config.error().message()}; }
  open_log(**config, arguments.verbose);
  const std::string& root = (*config)->text("queue_directory");
  if (::chdir(root.c_str()) != 0) {
    throw Fatal{fmt::format("chdir {}: {}", root, std::error_code(errno, std::system_category()).message())};
  }
  become_mail_owner(**config);
  const auto queues = queues_of(arguments);
  for (const auto& id : arguments.bad_ids) { warn(fmt::format("invalid mail queue id: {}", id)); }

  const auto style = queue::id_style(**config);
  Maintenance maintenance(queue::QueueDirectory(".", queue::hashing(**config)), style,
                          {.info = [](std::string_view text) { report(log::Level::info, text); },
                           .warning = warn,
                           .file_seen = [] { progress().step(); }});
  if (arguments.repair) {
    must(maintenance.recover_journal());
    must(maintenance.repair(queues, arguments.repair_long_names ? NameCheck::inode_of_long_names : NameCheck::inode,
                            arguments.purge ? std::optional<std::int64_t>(std::time(nullptr)) : std::nullopt));
  } else if (arguments.purge) {
    must(maintenance.purge(queues, std::time(nullptr)));
  }
  for (const auto& [action, selection] : arguments.actions) { must(maintenance.apply(action, selection, queues)); }
  report_counts(arguments, maintenance.counters());
}

}  // namespace

int run(int argc, char** argv) {
  try {
    run_or_throw(argc, argv);
  } catch (const Fatal& fatal) {
    report(log::Level::fatal, fatal.text);
    return 1;
  }
  return 0;
}

}  // namespace stagepost::postsuper
