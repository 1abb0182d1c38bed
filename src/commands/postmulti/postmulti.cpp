// See the header.
#include "commands/postmulti/postmulti.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/stat.h>

#include <fmt/format.h>

#include "base/subprocess.hpp"
#include "commands/postmulti/instances.hpp"
#include "commands/postmulti/lifecycle.hpp"
#include "commands/postmulti/options.hpp"
#include "config/log_settings.hpp"
#include "config/registry.hpp"
#include "config/snapshot.hpp"
#include "log/log.hpp"

namespace stagepost::postmulti {
namespace {

bool contains(const std::vector<std::string>& words, const std::string& word) {
  return std::ranges::find(words, word) != words.end();
}

/// What postmulti -p does with a command for an instance: nothing, the command, or a check in its place.
enum class Step { skip, run, check };

class Iterator {
 public:
  Iterator(const Options& options, const config::Snapshot& primary, std::vector<Instance> instances)
      : options_(options), primary_(primary), instances_(std::move(instances)) {}

  Result<bool> run() {
    const bool stop = options_.mode == Mode::postfix && in_list("postmulti_stop_commands");
    if (options_.reverse || stop) { std::ranges::reverse(instances_); }
    bool good = true;
    for (const Instance& instance : instances_) {
      if (matches(instance, options_.selection)) {
        const bool done = one(instance);
        good = good && done;
      }
    }
    return good;
  }

 private:
  [[nodiscard]] bool in_list(const char* parameter) const {
    return contains(primary_.list(parameter), options_.command.front());
  }

  [[nodiscard]] Step step(const Instance& instance) const {
    if (instance.enabled) { return Step::run; }
    if (in_list("postmulti_start_commands")) { return Step::check; }
    return in_list("postmulti_stop_commands") || in_list("postmulti_control_commands") ? Step::skip : Step::run;
  }

  [[nodiscard]] bool one(const Instance& instance) const {
    if (options_.mode == Mode::list) {
      fmt::print("{}\n", listing_line(instance));
      return true;
    }
    std::vector<std::string> command = options_.command;
    if (options_.mode == Mode::postfix) {
      const Step what = step(instance);
      if (what == Step::skip) { return true; }
      if (what == Step::check) { command = {"check"}; }
      // -c: this instance only, which ends the recursion.
      std::vector<std::string> words{instance.command_directory + "/postfix", "-c", instance.config_directory};
      for (unsigned i = 0; i < options_.verbosity; ++i) { words.emplace_back("-v"); }
      words.insert(words.end(), command.begin(), command.end());
      command = std::move(words);
    }
    const auto status = sys::run_program(command, environment_of(instance, options_.verbosity));
    if (!status) {
      fmt::print(stderr, "postmulti: fatal: execvp {}: {}\n", command.front(), status.error().code.message());
      return false;
    }
    return *status == 0;
  }

  const Options& options_;
  const config::Snapshot& primary_;
  std::vector<Instance> instances_;
};

Result<bool> execute(int argc, char** argv, bool& log_open) {
  SP_TRY(const Options options, parse_options(argc, argv));
  const char* environment = std::getenv("MAIL_CONFIG");
  if (environment != nullptr && environment != config::default_config_directory()) {
    return failure(fmt::format("Non-default configuration directory: MAIL_CONFIG={}", environment));
  }
  const auto loaded = config::Snapshot::load({.process_name = "postmulti", .check = config::LoadOptions::Check::no});
  if (!loaded) { return failure(loaded.error().message()); }
  const config::Snapshot& primary = **loaded;
  log::open(config::log_settings(primary, "postmulti", options.verbosity > 0));
  log_open = true;
  if (const char* tag = std::getenv("MAIL_LOGTAG"); tag == nullptr) {
    ::setenv("MAIL_LOGTAG", primary.text("syslog_name").c_str(), 1);
  }
  SP_TRY(std::vector<Instance> instances, load_instances(primary));
  if (options.mode == Mode::edit) {
    const auto warn = [](std::string_view text) {
      fmt::print(stderr, "postmulti: warning: {}\n", text);
      log::warning("{}", text);
    };
    SP_TRY(LifeCycle(options, primary, instances, warn).execute());
    return true;
  }
  return Iterator(options, primary, std::move(instances)).run();
}

}  // namespace

int run(int argc, char** argv) {
  ::umask(022);
  // Lines of ours come before those of the programs we run.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  bool log_open = false;
  const auto done = execute(argc, argv, log_open);
  if (!done) {
    fmt::print(stderr, "postmulti: fatal: {}\n", done.error().message());
    if (log_open) { log::fatal("{}", done.error().message()); }
    return 1;
  }
  return *done ? 0 : 1;
}

}  // namespace stagepost::postmulti
