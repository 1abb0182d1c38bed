#include "commands/postconf/parameters.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include "base/nearest_name.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "commands/postconf/display.hpp"
#include "config/main_cf.hpp"
#include "config/registry.hpp"

namespace stagepost::postconf {
namespace {

/// The names postconf knows and their values, from one snapshot.
class View {
 public:
  View(const Options& options, const config::Snapshot& snapshot, const config::NameUse& use)
      : options_(options), snapshot_(snapshot), use_(use) {}

  [[nodiscard]] bool shows_class(std::string_view name) const { return options_.classes.contains(name); }

  /// All names of the chosen classes, sorted.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    if (shows_class("builtin")) {
      for (const config::Parameter& parameter : config::parameters()) {
        if (builtin_class(parameter.name)) { names.emplace_back(parameter.name); }
      }
    }
    if (shows_class("service")) {
      for (const auto& [name, parameter] : use_.service_names) { names.push_back(name); }
    }
    if (shows_class("user") && !options_.defaults) {
      names.insert(names.end(), use_.user_names.begin(), use_.user_names.end());
    }
    std::ranges::sort(names);
    return names;
  }

  [[nodiscard]] bool known(std::string_view name) const {
    return (shows_class("builtin") && builtin_class(name)) ||
           (shows_class("service") && use_.service_names.contains(name)) ||
           (shows_class("user") && !options_.defaults && use_.user_names.contains(name));
  }

  [[nodiscard]] bool is_set(std::string_view name) const {
    // -c and MAIL_CONFIG count as a setting of config_directory.
    return snapshot_.is_set(name) || (name == "config_directory" &&
                                      (!options_.config_directory.empty() || std::getenv("MAIL_CONFIG") != nullptr));
  }

  [[nodiscard]] Result<std::string> value(std::string_view name) const {
    const auto parameter = config::find_parameter(name);
    std::string raw;
    if (!parameter && !snapshot_.is_set(name)) {
      raw = use_.service_names.find(name)->second->default_text;
    } else {
      raw = snapshot_.raw(name);
    }
    if (!options_.expand || (parameter && parameter->type == config::Type::raw)) { return raw; }
    return snapshot_.expand_text(raw);
  }

 private:
  /// A built-in parameter of a service that master.cf has (local_destination_concurrency_limit) is of class "service".
  [[nodiscard]] bool builtin_class(std::string_view name) const {
    return config::find_parameter(name).has_value() && !use_.service_names.contains(name);
  }

  const Options& options_;
  const config::Snapshot& snapshot_;
  const config::NameUse& use_;
};

}  // namespace

std::string config_directory(const Options& options) {
  if (!options.config_directory.empty()) { return options.config_directory; }
  const char* environment = std::getenv("MAIL_CONFIG");
  return environment != nullptr && *environment != '\0' ? environment : std::string(config::default_config_directory());
}

Result<> add_name_warnings(const config::NameUse& use, Subject subject, std::vector<std::string>& warnings) {
  for (const config::NamedTable& table : use.table_files) {
    SP_TRY(const std::vector<std::string> found, config::check_table_file(table));
    warnings.insert(warnings.end(), found.begin(), found.end());
  }
  for (const auto& item : use.unused) {
    // Who looks at services is not told about main.cf.
    if (subject != Subject::parameters && !item.in_master_cf) { continue; }
    warnings.push_back(fmt::format("{}: unused parameter: {}={}", item.file, item.name, printable(item.value)));
  }
  for (const auto& item : use.undefined) {
    warnings.push_back(fmt::format("{}: undefined parameter: {}", item.file, item.name));
  }
  return {};
}

Result<Files> read_files(const Options& options, std::vector<std::string>& warnings) {
  Files files;
  config::LoadOptions load;
  load.config_directory =
      options.defaults ? std::string(config::default_config_directory()) : config_directory(options);
  load.overrides = options.overrides;
  load.process_name = "postconf";
  load.check = config::LoadOptions::Check::no;
  if (options.defaults) {
    SP_TRY(files.config, config::Snapshot::from_text("", "main.cf", load));
  } else {
    SP_TRY(files.config, config::Snapshot::load(load));
  }
  warnings.insert(warnings.end(), files.config->warnings().begin(), files.config->warnings().end());

  auto master = config::read_master_cf(config_directory(options) + "/master.cf", {}, config::Reading::as_written);
  if (!master && !master.error().is(std::errc::no_such_file_or_directory)) {
    return std::unexpected(std::move(master).error());
  }
  if (master) {
    files.master = *std::move(master);
    warnings.insert(warnings.end(), files.master.warnings.begin(), files.master.warnings.end());
  } else {
    warnings.push_back(master.error().message());
  }
  return files;
}

Result<Output> show_parameters(const Options& options) {
  Output output;
  SP_TRY(const Files files, read_files(options, output.warnings));
  const config::NameUse use = config::check_names(*files.config, files.master);
  const View view(options, *files.config, use);
  const Style style{.hide_name = options.hide_name, .hide_value = options.hide_value, .fold = options.fold};
  const bool all = options.arguments.empty();
  std::vector<std::string> members;
  for (const std::string& name : all ? view.names() : options.arguments) {
    if (!all && !view.known(name)) {
      const std::vector<std::string> names = view.names();
      const std::vector<std::string_view> known(names.begin(), names.end());
      output.warnings.push_back(fmt::format("{}: unknown parameter{}", printable(name), did_you_mean(name, known)));
      continue;
    }
    if (options.only_set && !view.is_set(name)) { continue; }
    SP_TRY(const std::string value, view.value(name));
    if (options.json) {
      members.push_back("  " + json_member(name, value));
    } else {
      output.text += format_setting(name, value, style);
    }
  }
  if (options.json) { output.text = members.empty() ? "{}\n" : "{\n" + text::join(members, ",\n") + "\n}\n"; }
  if (!options.defaults) { SP_TRY(add_name_warnings(use, options.subject, output.warnings)); }
  return output;
}

Result<> change_parameters(const Options& options) {
  std::vector<config::Edit> edits;
  for (const std::string& argument : options.arguments) {
    if (options.edit) {
      SP_TRY(config::Setting setting, config::parse_assignment(argument));
      edits.push_back({config::Edit::Kind::set, std::move(setting.name), std::move(setting.value)});
    } else {
      edits.push_back({options.exclude ? config::Edit::Kind::remove : config::Edit::Kind::comment_out, argument});
    }
  }
  return config::edit_main_cf_file(config_directory(options) + "/main.cf", edits);
}

}  // namespace stagepost::postconf
