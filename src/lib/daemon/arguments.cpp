// See the header.
#include "daemon/arguments.hpp"

#include "base/text.hpp"

namespace stagepost::daemon {
namespace {

constexpr std::uint64_t kMostListeners = 1000;

Result<> add_override(Arguments& parsed, std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || text::trim(text.substr(0, equals)).empty()) {
    return failure("bad -o option: \"" + std::string(text) + "\": want name=value");
  }
  parsed.overrides.emplace_back(text::trim(text.substr(0, equals)), text::trim(text.substr(equals + 1)));
  return {};
}

Result<> set_value(Arguments& parsed, char letter, const std::string& value) {
  switch (letter) {
    case 'n':
      parsed.service_name = value;
      return {};
    case 't':
      parsed.service_type = value;
      return {};
    case 'o':
      return add_override(parsed, value);
    default:
      break;
  }
  const auto number = text::parse_unsigned(value);
  if (!number || *number > kMostListeners) { return failure("bad -s option: \"" + value + "\""); }
  parsed.listeners = static_cast<unsigned>(*number);
  return {};
}

bool set_flag(Arguments& parsed, char letter) {
  switch (letter) {
    case 'c':
      parsed.chroot = true;
      return true;
    case 'D':
      parsed.debug = true;
      return true;
    case 'l':
      parsed.limit_one = true;
      return true;
    case 'u':
      parsed.unprivileged = true;
      return true;
    case 'v':
      ++parsed.verbosity;
      return true;
    case 'z':
      parsed.no_limit = true;
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<Arguments> parse_arguments(const std::vector<std::string>& arguments, std::string_view program) {
  Arguments parsed;
  parsed.service_name = program;
  std::size_t next = 0;
  for (; next < arguments.size(); ++next) {
    const std::string& argument = arguments[next];
    if (argument == "--") {
      ++next;
      break;
    }
    if (argument.size() < 2 || argument[0] != '-') { break; }
    for (std::size_t i = 1; i < argument.size(); ++i) {
      const char letter = argument[i];
      if (set_flag(parsed, letter)) { continue; }
      if (std::string_view("nots").find(letter) == std::string_view::npos) {
        return failure("unknown option \"-" + std::string(1, letter) + "\"");
      }
      std::string value = argument.substr(i + 1);
      if (value.empty()) {
        if (next + 1 == arguments.size()) { return failure("option -" + std::string(1, letter) + " needs a value"); }
        value = arguments[++next];
      }
      SP_TRY(set_value(parsed, letter, value));
      break;
    }
  }
  parsed.rest.assign(arguments.begin() + static_cast<std::ptrdiff_t>(std::min(next, arguments.size())),
                     arguments.end());
  return parsed;
}

}  // namespace stagepost::daemon
