// See the header.
#include "commands/postmulti/lifecycle.hpp"

#include <algorithm>
#include <array>
#include <pwd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/sys.hpp"

namespace stagepost::postmulti {
namespace {

constexpr std::size_t kConfigLimitBytes = 1 << 20;

/// Where shared files are and whose they are: the same for all instances.
constexpr std::array kShared{"command_directory", "daemon_directory",   "meta_directory",    "shlib_directory",
                             "mail_owner",        "setgid_group",       "sendmail_path",     "mailq_path",
                             "newaliases_path",   "html_directory",     "manpage_directory", "readme_directory",
                             "sample_directory",  "compatibility_level"};

Result<> make_directory(const std::string& path, mode_t mode) {
  const auto made = sys::mkdir(path, mode);
  return made || made.error().is(std::errc::file_exists) ? Result<>{} : made;
}

}  // namespace

Result<> LifeCycle::edit(const std::string& directory, const std::vector<std::string>& settings) const {
  std::vector<std::string> command{instances_.front().command_directory + "/postconf", "-c", directory, "-e"};
  command.insert(command.end(), settings.begin(), settings.end());
  SP_TRY(const int status, sys::run_program(command));
  if (status != 0) { return failure(fmt::format("cannot update {}/main.cf", directory)); }
  return {};
}

Result<> LifeCycle::write_list(const char* parameter, const std::vector<std::string>& directories) const {
  std::string value;
  for (const std::string& directory : directories) { value += (value.empty() ? "" : " ") + directory; }
  return edit(primary_.config_directory(), {fmt::format("{} = {}", parameter, value)});
}

Result<> LifeCycle::require_enabled() const {
  for (const char* parameter : {"multi_instance_wrapper", "multi_instance_enable"}) {
    const std::string& value = primary_.text(parameter);
    if (value.empty()) { return failure(fmt::format("{} is empty, run 'postmulti -e init' first.", parameter)); }
    if (parameter == std::string_view("multi_instance_enable") && value != "yes") {
      return failure(fmt::format("{}!=yes, run 'postmulti -e init' first.", parameter));
    }
  }
  return {};
}

Result<const Instance*> LifeCycle::chosen() const {
  const auto found =
      std::ranges::find_if(instances_, [&](const Instance& instance) { return matches(instance, options_.selection); });
  if (found == instances_.end()) {
    return failure(fmt::format("No instance named {}", options_.selection.name.value_or("")));
  }
  return &*found;
}

Result<> LifeCycle::require_no_conflict(const Instance& changed, const Instance* self) const {
  std::string problem = conflict(changed, changed);
  for (const Instance& other : instances_) {
    if (problem.empty() && &other != self) { problem = conflict(changed, other); }
  }
  return problem.empty() ? Result<>{} : failure(std::move(problem));
}

Result<> LifeCycle::init() {
  return edit(primary_.config_directory(),
              {"multi_instance_enable = yes", "multi_instance_wrapper = ${command_directory}/postmulti -p --"});
}

Result<Instance> LifeCycle::new_instance(bool import) const {
  const Instance& primary = instances_.front();
  const std::string name = options_.new_name.value_or("");
  const auto path = [&](const std::string& given, const std::string& of_primary,
                        std::string_view parameter) -> Result<std::string> {
    if (!given.empty()) { return given; }
    if (name.empty()) { return failure(fmt::format("Missing {} parameter value", parameter)); }
    return sibling(of_primary, name);
  };
  SP_TRY(const std::string directory, path(options_.config_directory, primary.config_directory, "config_directory"));
  for (const Instance& other : instances_) {
    if (other.config_directory == directory) {
      return failure(fmt::format("new config_directory={} is already in use by instance {}, config_directory={}",
                                 directory, other.config_directory, directory));
    }
  }
  if (import) {
    SP_TRY(Instance instance, load_instance(directory));
    if (options_.new_name) { instance.name = *options_.new_name; }
    if (options_.new_group) { instance.group = *options_.new_group; }
    return instance;
  }
  Instance instance{.config_directory = directory,
                    .command_directory = primary.command_directory,
                    .daemon_directory = primary.daemon_directory,
                    .name = name,
                    .group = options_.new_group.value_or("")};
  SP_TRY(instance.queue_directory, path(options_.queue_directory, primary.queue_directory, "queue_directory"));
  SP_TRY(instance.data_directory, path(options_.data_directory, primary.data_directory, "data_directory"));
  return instance;
}

Result<> LifeCycle::make_files(const Instance& instance) {
  SP_TRY(make_directory(instance.config_directory, 0755));
  for (const char* name : {"main.cf", "master.cf"}) {
    // An installation that was not made by its own installer may lack the templates.
    auto text = sys::read_file(fmt::format("{}/{}.proto", primary_.text("meta_directory"), name), kConfigLimitBytes);
    if (!text && name == std::string_view("master.cf")) {
      text = sys::read_file(primary_.config_directory() + "/master.cf", kConfigLimitBytes);
    }
    if (!text && name == std::string_view("main.cf")) { text = "# See postconf(5) for all parameters.\n"; }
    if (!text) { return std::unexpected(text.error()); }
    SP_TRY(sys::replace_file(instance.config_directory + "/" + name, *text, 0644));
  }
  std::vector<std::string> settings;
  for (const char* parameter : kShared) {
    if (primary_.is_set(parameter)) { settings.push_back(fmt::format("{} = {}", parameter, primary_.raw(parameter))); }
  }
  // Safe to start: nobody can reach it before the administrator has made it what it shall be.
  settings.insert(settings.end(), {"master_service_disable = inet",
                                   "authorized_submit_users =", "queue_directory = " + instance.queue_directory,
                                   "data_directory = " + instance.data_directory});
  SP_TRY(edit(instance.config_directory, settings));
  SP_TRY(make_directory(instance.queue_directory, 0755));
  SP_TRY(make_directory(instance.data_directory, 0700));
  if (::geteuid() == 0) {
    const std::string& owner = primary_.text("mail_owner");
    const passwd* user = ::getpwnam(owner.c_str());
    if (user == nullptr) { return failure(fmt::format("parameter mail_owner: unknown user name value: {}", owner)); }
    if (::lchown(instance.data_directory.c_str(), user->pw_uid, static_cast<gid_t>(-1)) != 0) {
      return errno_failure("chown " + instance.data_directory);
    }
  }
  return {};
}

Result<> LifeCycle::add() {
  bool import = options_.edit == Edit::import;
  if (!import) {
    const std::string directory = !options_.config_directory.empty() ? options_.config_directory
                                  : options_.new_name.value_or("").empty()
                                      ? std::string()
                                      : sibling(primary_.config_directory(), *options_.new_name);
    import = !directory.empty() && sys::stat(directory + "/main.cf") && sys::stat(directory + "/master.cf");
  }
  SP_TRY(const Instance instance, new_instance(import));
  SP_TRY(require_no_conflict(instance, nullptr));
  SP_TRY(const std::size_t position, insert_position(instances_, options_.selection));
  SP_TRY(require_enabled());
  if (!import) { SP_TRY(make_files(instance)); }
  std::vector<std::string> settings;
  if (options_.new_group) { settings.push_back("multi_instance_group = " + *options_.new_group); }
  if (options_.new_name) { settings.push_back("multi_instance_name = " + *options_.new_name); }
  if (!settings.empty()) { SP_TRY(edit(instance.config_directory, settings)); }
  SP_TRY(const int status,
         sys::run_program({primary_.text("command_directory") + "/postfix", "-c", instance.config_directory, "check"}));
  if (status != 0) { return failure(fmt::format("postfix -c {} check failed", instance.config_directory)); }
  std::vector<std::string> directories = primary_.list("multi_instance_directories");
  directories.insert(directories.begin() + static_cast<std::ptrdiff_t>(std::min(position, directories.size())),
                     instance.config_directory);
  return write_list("multi_instance_directories", directories);
}

Result<> LifeCycle::assign(const Instance& instance) {
  Instance changed = instance;
  if (options_.new_name) { changed.name = *options_.new_name; }
  if (options_.new_group) { changed.group = *options_.new_group; }
  SP_TRY(require_no_conflict(changed, &instance));
  SP_TRY(require_enabled());
  std::vector<std::string> settings;
  if (options_.new_group) { settings.push_back("multi_instance_group = " + changed.group); }
  if (options_.new_name) { settings.push_back("multi_instance_name = " + changed.name); }
  return edit(instance.config_directory, settings);
}

Result<> LifeCycle::remove(const Instance& instance) {
  if (instance.primary) { return failure("Cannot remove the primary instance"); }
  if (instance.enabled) { return failure("Cannot remove enabled instances"); }
  SP_TRY(require_enabled());
  const bool destroy = options_.edit == Edit::destroy;
  const auto config =
      config::Snapshot::load({.config_directory = instance.config_directory, .check = config::LoadOptions::Check::no});
  if (!config) { return failure(config.error().message()); }
  if (destroy) { SP_TRY(require_idle(instance, **config)); }
  for (const char* parameter : {"multi_instance_directories", "alternate_config_directories"}) {
    std::vector<std::string> directories = primary_.list(parameter);
    const bool alternate = parameter == std::string_view("alternate_config_directories");
    if (alternate && !destroy) { continue; }
    if (std::erase(directories, instance.config_directory) > 0) { SP_TRY(write_list(parameter, directories)); }
  }
  return destroy ? remove_files(instance, **config, warn_) : Result<>{};
}

Result<> LifeCycle::execute() {
  switch (options_.edit) {
    case Edit::init:
      return init();
    case Edit::create:
    case Edit::import:
      return add();
    case Edit::destroy:
    case Edit::deport:
    case Edit::enable:
    case Edit::disable:
    case Edit::assign:
      break;
  }
  SP_TRY(const Instance* instance, chosen());
  if (options_.edit == Edit::assign) { return assign(*instance); }
  if (options_.edit == Edit::destroy || options_.edit == Edit::deport) { return remove(*instance); }
  SP_TRY(require_enabled());
  return edit(instance->config_directory,
              {options_.edit == Edit::enable ? "multi_instance_enable = yes" : "multi_instance_enable = no"});
}

}  // namespace stagepost::postmulti
