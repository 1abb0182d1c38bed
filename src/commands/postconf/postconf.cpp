#include "commands/postconf/postconf.hpp"

#include "commands/postconf/explain.hpp"
#include "commands/postconf/options.hpp"
#include "commands/postconf/services.hpp"

namespace stagepost::postconf {

Result<Output> run(const std::vector<std::string>& arguments) {
  if (const auto request = explain_request(arguments)) { return explain(*request); }
  SP_TRY(const Options options, parse_options(arguments));
  if (options.lock_types) { return Output{.text = "flock\nfcntl\ndotlock\n", .warnings = {}}; }
  if (options.subject != Subject::parameters) {
    return options.changes_file() ? change_services(options) : show_services(options);
  }
  if (options.changes_file()) {
    SP_TRY(change_parameters(options));
    return Output{};
  }
  return show_parameters(options);
}

}  // namespace stagepost::postconf
