// See the header.
#include "master/options.hpp"

#include "base/text.hpp"

namespace stagepost::master {
namespace {
constexpr const char* kUsage =
    "usage: master [-c config_dir] [-D (debug)] [-d (don't detach from terminal)] "
    "[-e exit_time] [-i (init mode)] [-s (keep stdout)] [-t (test)] [-v] [-w (wait for "
    "initialization)]";
}

Result<Options> parse_options(const std::vector<std::string>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.size() < 2 || argument[0] != '-') { return failure(kUsage); }
    for (std::size_t j = 1; j < argument.size(); ++j) {
      const char letter = argument[j];
      std::string value;
      if (letter == 'c' || letter == 'e') {
        value = argument.substr(j + 1);
        if (value.empty()) {
          if (++i == arguments.size()) { return failure(kUsage); }
          value = arguments[i];
        }
        j = argument.size();
      }
      switch (letter) {
        case 'c':
          options.config_directory = value;
          break;
        case 'D':
          options.debug = true;
          break;
        case 'd':
          options.keep_stdio = true;
          break;
        case 'e': {
          const auto seconds = text::parse_unsigned(value);
          if (!seconds || *seconds > 1'000'000'000) { return failure(kUsage); }
          options.exit_time = std::chrono::seconds(*seconds);
          break;
        }
        case 'i':
          options.init = true;
          break;
        case 's':
          options.keep_stdout = true;
          break;
        case 't':
          options.test_lock = true;
          break;
        case 'v':
          ++options.verbosity;
          break;
        case 'w':
          options.wait = true;
          break;
        default:
          return failure(kUsage);
      }
      if (&argument != &arguments[i]) {
        break;  // the value was the next argument
      }
    }
  }
  return options;
}

}  // namespace stagepost::master
