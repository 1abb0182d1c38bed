// See client_source.hpp.
#include "client_source.hpp"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "config/main_cf.hpp"

namespace stagepost::maps {
namespace {

constexpr config::FileLimits kLimits{.file_bytes = std::size_t{1} << 20U};

std::optional<std::int64_t> unit_seconds(char unit) {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86'400;
    case 'w':
      return 604'800;
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<ClientSource> ClientSource::open(std::string_view name, const ModuleContext& context) {
  if (name.starts_with('/') || name.starts_with('.')) {
    const std::string path(name);
    auto content = sys::read_file(path, kLimits.file_bytes);
    if (!content) { return std::unexpected(std::move(content).error()); }
    return parse(*content, path, context.warn);
  }
  if (name.empty()) { return failure("the name of a file or of settings in main.cf is missing"); }
  ClientSource source;
  source.name_ = name;
  source.parameter_ = context.parameter;
  return source;
}

Result<ClientSource> ClientSource::parse(std::string_view content, std::string_view file,
                                         const std::function<void(std::string_view)>& warn) {
  SP_TRY(config::MainCf parsed, config::parse_main_cf(content, file, kLimits));
  if (warn) {
    for (const std::string& warning : parsed.warnings) { warn(warning); }
  }
  ClientSource source;
  source.name_ = file;
  for (config::Setting& setting : parsed.settings) {
    // Not the values, one may be a password.
    if (warn && source.settings_.contains(setting.name)) {
      warn(fmt::format("{}, line {}: overriding earlier entry: {}", file, setting.line, printable(setting.name)));
    }
    source.settings_.insert_or_assign(std::move(setting.name), std::move(setting.value));
  }
  return source;
}

std::optional<std::string> ClientSource::find(std::string_view setting) const {
  if (parameter_) { return parameter_(fmt::format("{}_{}", name_, setting)); }
  const auto found = settings_.find(setting);
  if (found == settings_.end()) { return std::nullopt; }
  return found->second;
}

std::unexpected<Error> ClientSource::bad(std::string_view setting, std::string_view value,
                                         std::string_view what) const {
  if (parameter_) { return failure(fmt::format("{}: {}_{} = {}", what, name_, setting, printable(value))); }
  return failure(fmt::format("{}: {}: {} = {}", name_, what, setting, printable(value)));
}

std::string ClientSource::text(std::string_view setting, std::string_view otherwise) const {
  return find(setting).value_or(std::string(otherwise));
}

Result<std::string> ClientSource::required_text(std::string_view setting) const { return nonempty_text(setting, {}); }

Result<std::string> ClientSource::nonempty_text(std::string_view setting, std::string_view otherwise) const {
  std::string value = text(setting, otherwise);
  if (value.empty()) { return bad(setting, value, "bad string length 0 < 1"); }
  return value;
}

Result<std::int64_t> ClientSource::number(std::string_view setting, std::int64_t otherwise, std::int64_t lowest,
                                          std::int64_t highest) const {
  const auto value = find(setting);
  if (!value) { return otherwise; }
  const auto parsed = text::parse_signed(*value);
  if (!parsed) { return bad(setting, *value, "bad numerical configuration"); }
  if (*parsed < lowest || *parsed > highest) {
    return bad(setting, *value, fmt::format("number not between {} and {}", lowest, highest));
  }
  return *parsed;
}

Result<std::chrono::seconds> ClientSource::time(std::string_view setting, std::chrono::seconds otherwise,
                                                std::chrono::seconds lowest, std::chrono::seconds highest) const {
  const auto value = find(setting);
  if (!value) { return otherwise; }
  std::string_view digits = *value;
  std::int64_t unit = 1;
  if (!digits.empty() && !text::is_digit(digits.back())) {
    const auto known = unit_seconds(text::lower(digits.back()));
    if (!known) { return bad(setting, *value, "bad time value or unit"); }
    unit = *known;
    digits.remove_suffix(1);
  }
  const auto parsed = text::parse_unsigned(digits);
  if (!parsed) { return bad(setting, *value, "bad time value or unit"); }
  if (*parsed > static_cast<std::uint64_t>(highest.count() / unit) ||
      static_cast<std::int64_t>(*parsed) * unit < lowest.count()) {
    return bad(setting, *value, fmt::format("time not between {}s and {}s", lowest.count(), highest.count()));
  }
  return std::chrono::seconds(static_cast<std::int64_t>(*parsed) * unit);
}

Result<bool> ClientSource::flag(std::string_view setting, bool otherwise) const {
  const auto value = find(setting);
  if (!value) { return otherwise; }
  if (text::iequals(*value, "yes")) { return true; }
  if (text::iequals(*value, "no")) { return false; }
  return bad(setting, *value, "bad boolean configuration");
}

}  // namespace stagepost::maps
