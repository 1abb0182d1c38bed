#include "commands/postqueue/options.hpp"

#include <string_view>
#include <unistd.h>

#include "mail/hostname.hpp"

namespace stagepost::postqueue {

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  int actions = 0;
  ::optind = 1;
  const auto act = [&options, &actions](Action action, const char* argument) {
    options.action = action;
    if (argument != nullptr) { options.site_or_id = argument; }
    ++actions;
  };
  for (int option = 0; (option = ::getopt(argc, argv, "c:fi:jps:v")) != -1;) {
    switch (option) {
      case 'c':
        options.config_directory = ::optarg;
        break;
      case 'f':
        act(Action::flush_all, nullptr);
        break;
      case 'i':
        act(Action::flush_message, ::optarg);
        break;
      case 'j':
        act(Action::list_json, nullptr);
        break;
      case 'p':
        act(Action::list, nullptr);
        break;
      case 's':
        act(Action::flush_site, ::optarg);
        break;
      case 'v':
        options.verbose = true;
        break;
      default:
        return std::nullopt;
    }
  }
  if (actions != 1 || ::optind != argc) { return std::nullopt; }
  return options;
}

bool is_site(const std::string& site) {
  if (site.starts_with('[')) { return mail::parse_address_literal(site).has_value(); }
  return mail::is_valid_hostname(site);
}

}  // namespace stagepost::postqueue
