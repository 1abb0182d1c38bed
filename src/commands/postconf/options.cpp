#include "commands/postconf/options.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "config/main_cf.hpp"

namespace stagepost::postconf {
namespace {

constexpr std::string_view kUsage =
    "usage: postconf [-c config_dir] [-C class,...] [-d (parameter defaults)] [-e (edit configuration)] "
    "[-f (fold lines)] [-F (master.cf fields)] [-h (no names)] [-H (no values)] [-l (lock types)] [-M (master.cf)] "
    "[-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] "
    "[-P (master.cf parameters)] [-v (verbose)] [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] "
    "[name...]";

Result<> add_classes(Options& options, std::string_view value) {
  for (const std::string_view name : text::split(value, ", \t\r\n")) {
    if (text::iequals(name, "all")) {
      options.classes.insert({"builtin", "service", "user"});
    } else if (std::string lower = text::to_lower(name); lower == "builtin" || lower == "service" || lower == "user") {
      options.classes.insert(std::move(lower));
    } else {
      return failure(fmt::format("unknown -C option value \"{}\" in \"{}\"", printable(name), printable(value)));
    }
  }
  return {};
}

Result<> add_override(Options& options, std::string_view value) {
  SP_TRY(config::Setting setting, config::parse_assignment(value));
  options.overrides.emplace_back(std::move(setting.name), std::move(setting.value));
  return {};
}

Result<> apply(Options& options, char letter) {
  switch (letter) {
    case 'd':
      options.defaults = true;
      return {};
    case 'e':
      options.edit = true;
      return {};
    case 'f':
      options.fold = true;
      return {};
    case 'F':
      options.subject = Subject::fields;
      return {};
    case 'h':
      options.hide_name = true;
      return {};
    case 'H':
      options.hide_value = true;
      return {};
    case 'l':
      options.lock_types = true;
      return {};
    case 'M':
      options.subject = Subject::services;
      return {};
    case 'n':
      options.only_set = true;
      return {};
    case 'p':
      options.subject = Subject::parameters;
      return {};
    case 'P':
      options.subject = Subject::service_parameters;
      return {};
    case 'v':
      return {};
    case 'x':
      options.expand = true;
      return {};
    case 'X':
      options.exclude = true;
      return {};
    case '#':
      options.comment_out = true;
      return {};
    default:
      return failure(fmt::format("invalid option -- '{}'\n{}", printable(std::string_view(&letter, 1)), kUsage));
  }
}

/// Two options of one group exclude each other; so do a view and a change.
Result<> check_combination(const Options& options) {
  using Group = std::vector<std::pair<std::string_view, bool>>;
  const Group groups[] = {
      {{"-d", options.defaults},
       {"-e", options.edit},
       {"-n", options.only_set},
       {"-X", options.exclude},
       {"-#", options.comment_out},
       {"-l", options.lock_types}},
      {{"-h", options.hide_name}, {"-H", options.hide_value}},
      {{"-d", options.defaults}, {"-o", !options.overrides.empty()}},
      {{"-e", options.edit}, {"-x", options.expand}},
      {{"-e", options.edit}, {"-o", !options.overrides.empty()}},
  };
  for (const Group& group : groups) {
    std::string given;
    for (const auto& [name, set] : group) {
      if (set) { given += fmt::format(" {}", name); }
    }
    if (given.find(' ', 1) != std::string::npos) { return failure("specify one of" + given); }
  }
  if (options.subject != Subject::parameters) {
    const std::string_view subject = options.subject == Subject::services ? "-M"
                                     : options.subject == Subject::fields ? "-F"
                                                                          : "-P";
    const bool names = options.subject != Subject::services;
    const Group not_allowed = {{"-d", options.defaults},
                               {"-n", options.only_set},
                               {"-h", options.hide_name && !names},
                               {"-H", options.hide_value && !names},
                               {"-X", options.exclude && options.subject == Subject::fields},
                               {"-#", options.comment_out && options.subject != Subject::services}};
    for (const auto& [name, set] : not_allowed) {
      if (set) { return failure(fmt::format("with option {}, do not specify {}", subject, name)); }
    }
  }
  return {};
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& arguments) {
  Options options;
  std::size_t i = 0;
  for (; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--") {
      ++i;
      break;
    }
    if (argument.size() < 2 || argument.front() != '-') { break; }
    for (std::size_t at = 1; at < argument.size(); ++at) {
      const char letter = argument[at];
      if (letter != 'c' && letter != 'C' && letter != 'o') {
        SP_TRY(apply(options, letter));
        continue;
      }
      std::string_view value = argument.substr(at + 1);
      if (value.empty()) {
        if (++i == arguments.size()) {
          return failure(fmt::format("option requires an argument -- '{}'\n{}", letter, kUsage));
        }
        value = arguments[i];
      }
      if (letter == 'c') {
        options.config_directory = value;
      } else if (letter == 'C') {
        SP_TRY(add_classes(options, value));
      } else {
        SP_TRY(add_override(options, value));
      }
      break;
    }
  }
  options.arguments.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());

  const bool removes = options.exclude || options.comment_out;
  const auto has_equals = [](const std::string& argument) { return argument.find('=') != std::string::npos; };
  if (!removes && std::ranges::any_of(options.arguments, has_equals)) { options.edit = true; }
  SP_TRY(check_combination(options));
  if (options.edit && options.arguments.empty()) { return failure("-e requires name=value argument"); }
  if (removes && options.arguments.empty()) {
    return failure(fmt::format("{} requires name argument", options.exclude ? "-X" : "-#"));
  }
  for (const std::string& argument : options.arguments) {
    if (options.changes_file() && argument.find_first_of("\r\n") != std::string::npos) {
      return failure("-e, -X, or -# accepts no multi-line input");
    }
    if (removes && has_equals(argument)) {
      return failure(fmt::format("-X or -# requires names without value: \"{}\"", printable(argument)));
    }
    if (options.edit && !has_equals(argument)) {
      return failure(fmt::format("missing '=' after attribute name: \"{}\"", printable(argument)));
    }
  }
  return options;
}

}  // namespace stagepost::postconf
