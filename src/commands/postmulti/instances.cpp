// See the header.
#include "commands/postmulti/instances.hpp"

#include <array>

#include <fmt/format.h>

namespace stagepost::postmulti {

Result<Instance> load_instance(const std::string& directory) {
  const auto loaded = config::Snapshot::load(
      {.config_directory = directory, .process_name = "postmulti", .check = config::LoadOptions::Check::no});
  if (!loaded) {
    return failure(
        fmt::format("{}\nFailed to obtain all required {}/main.cf parameters", loaded.error().message(), directory));
  }
  const config::Snapshot& config = **loaded;
  return Instance{.config_directory = directory,
                  .queue_directory = config.text("queue_directory"),
                  .data_directory = config.text("data_directory"),
                  .command_directory = config.text("command_directory"),
                  .daemon_directory = config.text("daemon_directory"),
                  .name = config.text("multi_instance_name"),
                  .group = config.text("multi_instance_group"),
                  .enabled = config.text("multi_instance_enable") == "yes"};
}

Result<std::vector<Instance>> load_instances(const config::Snapshot& primary) {
  std::vector<Instance> instances;
  SP_TRY(Instance first, load_instance(primary.config_directory()));
  first.primary = true;
  instances.push_back(std::move(first));
  for (const std::string& directory : primary.list("multi_instance_directories")) {
    SP_TRY(Instance instance, load_instance(directory));
    instances.push_back(std::move(instance));
  }
  // Alone, the primary instance is what every command is for.
  if (instances.size() == 1) { instances.front().enabled = true; }
  return instances;
}

bool matches(const Instance& instance, const Selection& selection) {
  if (selection.group) { return !selection.group->empty() && instance.group == *selection.group; }
  if (!selection.name) { return true; }
  const std::string& name = *selection.name;
  if (name == "-") { return instance.primary; }
  if (name.empty()) { return false; }
  return name.front() == '/' ? instance.config_directory == name : instance.name == name;
}

std::string conflict(const Instance& one, const Instance& other) {
  using Named = std::pair<std::string_view, std::string Instance::*>;
  constexpr std::array<Named, 3> kDirectories{{{"config_directory", &Instance::config_directory},
                                               {"queue_directory", &Instance::queue_directory},
                                               {"data_directory", &Instance::data_directory}}};
  const auto text = [&](std::string_view name, std::string_view other_name, std::string_view value) {
    return fmt::format("instance {}, {}={} conflicts with instance {}, {}={}", one.config_directory, name, value,
                       other.config_directory, other_name, value);
  };
  for (const auto& [name, member] : kDirectories) {
    for (const auto& [other_name, other_member] : kDirectories) {
      const bool same_parameter = &one == &other && member == other_member;
      if (!same_parameter && one.*member == other.*other_member) { return text(name, other_name, one.*member); }
    }
  }
  if (&one != &other && !one.name.empty() && one.name == other.name) {
    return text("multi_instance_name", "multi_instance_name", one.name);
  }
  return "";
}

sys::EnvironmentChanges environment_of(const Instance& instance, unsigned verbosity) {
  sys::EnvironmentChanges changes{{"MAIL_CONFIG", instance.config_directory},
                                  {"command_directory", instance.command_directory},
                                  {"daemon_directory", instance.daemon_directory},
                                  {"config_directory", instance.config_directory},
                                  {"queue_directory", instance.queue_directory},
                                  {"data_directory", instance.data_directory},
                                  {"multi_instance_name", instance.name},
                                  {"multi_instance_group", instance.group},
                                  {"multi_instance_enable", instance.enabled ? "yes" : "no"}};
  if (verbosity > 0) { changes.emplace_back("MAIL_VERBOSE", ""); }
  return changes;
}

std::string listing_line(const Instance& instance) {
  return fmt::format("{:<15} {:<15} {:<9} {}", instance.name.empty() ? "-" : instance.name,
                     instance.group.empty() ? "-" : instance.group, instance.enabled ? "y" : "n",
                     instance.config_directory);
}

std::string sibling(std::string_view primary_directory, std::string_view name) {
  while (primary_directory.size() > 1 && primary_directory.ends_with('/')) { primary_directory.remove_suffix(1); }
  return std::string(primary_directory.substr(0, primary_directory.rfind('/') + 1)).append(name);
}

Result<std::size_t> insert_position(const std::vector<Instance>& instances, const Selection& selection) {
  if (selection.all) { return std::size_t{0}; }
  if (!selection.group && !selection.name) { return instances.size() - 1; }
  for (std::size_t i = 1; i < instances.size(); ++i) {
    if (matches(instances[i], selection)) { return i - 1; }
  }
  return failure("No matching secondary instances");
}

}  // namespace stagepost::postmulti
