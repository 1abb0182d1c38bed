// main.cf as postconf shows and changes it.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "commands/postconf/options.hpp"
#include "config/master_cf.hpp"
#include "config/name_check.hpp"
#include "config/snapshot.hpp"

namespace stagepost::postconf {

/// What a run printed: text for standard output, warnings (without a prefix) for standard error.
struct Output {
  std::string text;
  std::vector<std::string> warnings;
  int status = 0;  ///< of the process
};

/// Directory of -c, MAIL_CONFIG or the build.
[[nodiscard]] std::string config_directory(const Options& options);

[[nodiscard]] Result<Output> show_parameters(const Options& options);
[[nodiscard]] Result<> change_parameters(const Options& options);

/// main.cf and master.cf of the options' directory, unchecked, with -o laid over; a master.cf that cannot be opened is
/// empty and a warning.
struct Files {
  config::SnapshotPtr config;
  config::MasterCf master;
};
[[nodiscard]] Result<Files> read_files(const Options& options, std::vector<std::string>& warnings);
/// Unused and undefined names as warnings. Reads the files of tables that have one; error: one that does not parse.
[[nodiscard]] Result<> add_name_warnings(const config::NameUse& use, Subject subject,
                                         std::vector<std::string>& warnings);

}  // namespace stagepost::postconf
