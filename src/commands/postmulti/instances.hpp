// The instances of this host: the primary one and those its main.cf lists, and how they are chosen and compared.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/subprocess.hpp"
#include "commands/postmulti/options.hpp"
#include "config/snapshot.hpp"

namespace stagepost::postmulti {

struct Instance {
  std::string config_directory;
  std::string queue_directory;
  std::string data_directory;
  std::string command_directory;
  std::string daemon_directory;
  std::string name;   ///< multi_instance_name; may be empty
  std::string group;  ///< multi_instance_group; may be empty
  bool enabled = false;
  bool primary = false;
};

/// What `directory`/main.cf says. Values are not checked: a broken instance must stay manageable.
[[nodiscard]] Result<Instance> load_instance(const std::string& directory);

/// The primary instance first, then the others in the order of multi_instance_directories. `primary` is the loaded
/// main.cf of the default configuration directory.
[[nodiscard]] Result<std::vector<Instance>> load_instances(const config::Snapshot& primary);

[[nodiscard]] bool matches(const Instance& instance, const Selection& selection);

/// Text about the first thing that two instances must not share (a directory, a name), or empty.
[[nodiscard]] std::string conflict(const Instance& one, const Instance& other);

/// The command with the environment of the instance: MAIL_CONFIG and the parameters of the same names.
[[nodiscard]] sys::EnvironmentChanges environment_of(const Instance& instance, unsigned verbosity);

/// One line of postmulti -l, without newline.
[[nodiscard]] std::string listing_line(const Instance& instance);

/// Name of a new directory: `primary_directory` with its last component replaced by `name`.
[[nodiscard]] std::string sibling(std::string_view primary_directory, std::string_view name);

/// Where among the secondary instances of `instances` (which begins with the primary one) a new one goes. Error:
/// nothing matches -g or -i.
[[nodiscard]] Result<std::size_t> insert_position(const std::vector<Instance>& instances, const Selection& selection);

}  // namespace stagepost::postmulti
