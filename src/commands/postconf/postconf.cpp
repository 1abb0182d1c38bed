#include "commands/postconf/postconf.hpp"

#include "commands/postconf/explain.hpp"
#include "commands/postconf/features.hpp"
#include "commands/postconf/options.hpp"
#include "commands/postconf/services.hpp"

namespace stagepost::postconf {

Result<Output> run(const std::vector<std::string>& arguments) {
  if (const auto request = explain_request(arguments)) { return explain(*request); }
  SP_TRY(const Options options, parse_options(arguments));
  switch (options.subject) {
    case Subject::parameters:
      if (!options.changes_file()) { return show_parameters(options); }
      SP_TRY(change_parameters(options));
      return Output{};
    case Subject::services:
    case Subject::fields:
    case Subject::service_parameters:
      return options.changes_file() ? change_services(options) : show_services(options);
    default:
      return show_features(options);
  }
}

}  // namespace stagepost::postconf
