// See the header.
#include "commands/postmulti/options.hpp"

#include <algorithm>
#include <array>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::postmulti {
namespace {

constexpr const char* kUsage =
    "Usage: postmulti -l [-aRv] [-g group] [-i name] | postmulti -p [-av] [-g group] [-i name] command... | "
    "postmulti -x [-aRv] [-g group] [-i name] command... | postmulti -e action [-av] [-g group] [-i name] [-G group] "
    "[-I name] [param=value ...]";

constexpr std::array<std::pair<std::string_view, Edit>, 8> kEdits{{{"create", Edit::create},
                                                                   {"destroy", Edit::destroy},
                                                                   {"import", Edit::import},
                                                                   {"deport", Edit::deport},
                                                                   {"enable", Edit::enable},
                                                                   {"disable", Edit::disable},
                                                                   {"assign", Edit::assign},
                                                                   {"init", Edit::init}}};

/// Names become parts of paths and of lists in main.cf, and go into the environment of scripts.
bool is_safe(std::string_view name) {
  return std::ranges::all_of(
      name, [](char c) { return text::is_alnum(c) || std::string_view("-_.").find(c) != std::string_view::npos; });
}

class Parser {
 public:
  Result<Options> parse(int argc, char** argv) {
    SP_TRY(read_letters(argc, argv));
    const std::vector<std::string> arguments(argv + ::optind, argv + argc);
    if (modes_ != 1) { return failure("Specify exactly one of '-e', '-l', '-p', '-x'"); }
    const Selection& selection = options_.selection;
    if ((selection.all ? 1 : 0) + (selection.group ? 1 : 0) + (selection.name ? 1 : 0) > 1) {
      return failure("Specify no more than one of '-a', '-g', '-i'");
    }
    if (options_.reverse && (options_.mode == Mode::postfix || options_.mode == Mode::edit)) {
      return failure("The '-p' and '-e' options preclude the use of '-R'");
    }
    if (options_.mode == Mode::edit) {
      SP_TRY(check_edit(arguments));
      return std::move(options_);
    }
    if (options_.new_name || options_.new_group) {
      return failure("Cannot assign instance name or group without '-e assign'");
    }
    if (options_.mode == Mode::list && !arguments.empty()) { return failure("Command not allowed with '-l'"); }
    if (options_.mode != Mode::list && arguments.empty()) {
      return failure("Command required with '-p' or '-x' option");
    }
    options_.command = arguments;
    return std::move(options_);
  }

 private:
  void mode(Mode mode) {
    options_.mode = mode;
    ++modes_;
  }

  Result<> read_letters(int argc, char** argv) {
    ::optind = 1;
    // "+": the command of -p and -x has options of its own.
    for (int option = 0; (option = ::getopt(argc, argv, "+ae:g:i:G:I:lpRvx")) != -1;) {
      switch (option) {
        case 'a':
          options_.selection.all = true;
          break;
        case 'e':
          mode(Mode::edit);
          action_ = ::optarg;
          break;
        case 'g':
          options_.selection.group = ::optarg;
          break;
        case 'i':
          options_.selection.name = ::optarg;
          break;
        case 'G': {
          SP_TRY(options_.new_group, new_value(::optarg, fmt::format("'-G {}'", ::optarg)));
          break;
        }
        case 'I': {
          SP_TRY(options_.new_name, new_value(::optarg, fmt::format("new instance name: '{}'", ::optarg)));
          if (!options_.new_name->empty() && !options_.new_name->starts_with("postfix-")) {
            return failure("New instance name must start with 'postfix-'");
          }
          break;
        }
        case 'l':
          mode(Mode::list);
          break;
        case 'p':
          mode(Mode::postfix);
          break;
        case 'R':
          options_.reverse = true;
          break;
        case 'v':
          ++options_.verbosity;
          break;
        case 'x':
          mode(Mode::command);
          break;
        default:
          return failure(kUsage);
      }
    }
    return {};
  }

  static Result<std::string> new_value(std::string_view value, std::string_view where) {
    if (!is_safe(value)) { return failure(fmt::format("Unsafe characters in {}", where)); }
    return std::string(value == "-" ? "" : value);
  }

  Result<> check_edit(const std::vector<std::string>& arguments) {
    const auto* found = std::ranges::find(kEdits, action_, &decltype(kEdits)::value_type::first);
    if (found == kEdits.end()) {
      return failure(
          fmt::format("Invalid '-e' edit action '{}'. Specify 'create', 'destroy', 'import', 'deport', "
                      "'enable', 'disable', 'assign' or 'init'",
                      action_));
    }
    options_.edit = found->second;
    const bool makes_entry = options_.edit == Edit::create || options_.edit == Edit::import;
    const bool assigns = options_.new_name || options_.new_group;
    if (assigns && !makes_entry && options_.edit != Edit::assign) {
      return failure(fmt::format("Cannot assign instance name or group with '-e {}'", action_));
    }
    if (!assigns && options_.edit == Edit::assign) {
      return failure("Specify new instance name or group with '-e assign'");
    }
    if (!makes_entry && !arguments.empty()) {
      return failure(fmt::format("Parameter overrides not valid with '-e {}'", action_));
    }
    if (!makes_entry && options_.edit != Edit::init && !options_.selection.name) {
      return failure("Select an instance via '-i name'");
    }
    for (const std::string& argument : arguments) { SP_TRY(parameter(argument)); }
    return {};
  }

  Result<> parameter(const std::string& argument) {
    const auto equals = argument.find('=');
    if (equals == std::string::npos || equals == 0) {
      return failure(fmt::format("Malformed parameter setting '{}'", argument));
    }
    const std::string name(text::trim(argument.substr(0, equals)));
    std::string value(text::trim(argument.substr(equals + 1)));
    std::string* target = name == "config_directory"                                   ? &options_.config_directory
                          : name == "queue_directory" && options_.edit == Edit::create ? &options_.queue_directory
                          : name == "data_directory" && options_.edit == Edit::create  ? &options_.data_directory
                                                                                       : nullptr;
    if (target == nullptr) { return failure(fmt::format("Parameter '{}' not valid with action {}", name, action_)); }
    if (!value.starts_with('/')) {
      return failure(fmt::format("Parameter setting '{}' is not an absolute path", name));
    }
    // The value stands in lists and is expanded in main.cf.
    if (std::ranges::any_of(value, [](char c) { return !text::is_printable(c) || c == ' ' || c == ',' || c == '$'; })) {
      return failure(fmt::format("Unsafe characters in '{}'", argument));
    }
    while (value.size() > 1 && value.ends_with('/')) { value.pop_back(); }
    *target = std::move(value);
    return {};
  }

  Options options_;
  int modes_ = 0;
  std::string action_;
};

}  // namespace

Result<Options> parse_options(int argc, char** argv) { return Parser().parse(argc, argv); }

std::string_view to_string(Edit edit) {
  const auto* found = std::ranges::find(kEdits, edit, &decltype(kEdits)::value_type::second);
  return found->first;
}

}  // namespace stagepost::postmulti
