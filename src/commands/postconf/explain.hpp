// postconf --explain: what a parameter does, its type, range and default, where its value comes from, who reads it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "commands/postconf/parameters.hpp"

namespace stagepost::postconf {

struct ExplainRequest {
  std::string config_directory;  ///< -c; may be empty
  std::vector<std::string> names;
};

/// `[-c config_dir] --explain name...`; nullopt for any other command line.
[[nodiscard]] std::optional<ExplainRequest> explain_request(const std::vector<std::string>& arguments);

/// Error: no name, or a name that is neither built in nor defined by the configuration; with the nearest known one.
[[nodiscard]] Result<Output> explain(const ExplainRequest& request);

}  // namespace stagepost::postconf
