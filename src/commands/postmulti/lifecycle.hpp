// Life cycle of instances: the actions of postmulti -e. What main.cf files say is changed through postconf(1), one
// atomic replacement each; the list of the primary instance changes last when an instance is added and first when one
// goes, so that a failure in between leaves files behind, never an entry without files.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "commands/postmulti/instances.hpp"
#include "commands/postmulti/options.hpp"
#include "config/snapshot.hpp"

namespace stagepost::postmulti {

using Warn = std::function<void(std::string_view)>;

class LifeCycle {
 public:
  /// `instances` as from load_instances(primary). All must outlive this.
  LifeCycle(const Options& options, const config::Snapshot& primary, const std::vector<Instance>& instances, Warn warn)
      : options_(options), primary_(primary), instances_(instances), warn_(std::move(warn)) {}

  /// The error's context is the text for the user.
  [[nodiscard]] Result<> execute();

 private:
  [[nodiscard]] Result<> init();
  [[nodiscard]] Result<> add();
  [[nodiscard]] Result<> make_files(const Instance& instance);
  [[nodiscard]] Result<> assign(const Instance& instance);
  [[nodiscard]] Result<> remove(const Instance& instance);

  [[nodiscard]] Result<const Instance*> chosen() const;
  [[nodiscard]] Result<Instance> new_instance(bool import) const;
  [[nodiscard]] Result<> require_no_conflict(const Instance& changed, const Instance* self) const;
  /// Multi-instance support is on in the primary instance.
  [[nodiscard]] Result<> require_enabled() const;
  [[nodiscard]] Result<> edit(const std::string& directory, const std::vector<std::string>& settings) const;
  [[nodiscard]] Result<> write_list(const char* parameter, const std::vector<std::string>& directories) const;

  const Options& options_;
  const config::Snapshot& primary_;
  const std::vector<Instance>& instances_;
  Warn warn_;
};

/// Removes what the mail system itself makes in the instance's directories, and the directories when they are empty
/// then. What stays is named in a warning.
[[nodiscard]] Result<> remove_files(const Instance& instance, const config::Snapshot& config, const Warn& warn);
/// Error when the instance runs or its queue has messages.
[[nodiscard]] Result<> require_idle(const Instance& instance, const config::Snapshot& config);

}  // namespace stagepost::postmulti
