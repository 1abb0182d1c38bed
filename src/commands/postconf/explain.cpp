#include "commands/postconf/explain.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/nearest_name.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "commands/postconf/parameter_texts.hpp"
#include "config/registry.hpp"

namespace stagepost::postconf {
namespace {

constexpr std::size_t kWidth = 78;
constexpr std::string_view kOption = "--explain";

std::string wrapped(std::string_view words) {
  std::string out;
  std::string line;
  for (const std::string_view word : text::split(words, " ")) {
    if (!line.empty() && 4 + line.size() + 1 + word.size() > kWidth) {
      out += fmt::format("    {}\n", line);
      line.clear();
    }
    line += line.empty() ? std::string(word) : fmt::format(" {}", word);
  }
  return out + fmt::format("    {}\n", line);
}

std::string row(std::string_view label, std::string_view content) {
  return fmt::format("  {:<10}{}\n", label, printable(content));
}

std::string shown(std::string_view value) { return value.empty() ? "(empty)" : std::string(value); }

class Explanation {
 public:
  Explanation(const Files& files, const config::NameUse& use) : files_(files), use_(use) {}

  /// False: there is no such parameter.
  bool add(const std::string& name) {
    const auto parameter = config::find_parameter(name);
    const auto service = use_.service_names.find(name);
    const config::ServiceParameter* suffix = service == use_.service_names.end() ? nullptr : service->second;
    if (!parameter && suffix == nullptr) {
      if (const std::vector<std::string> successors = successors_of(name); !successors.empty()) {
        add_old_name(name, successors);
        return true;
      }
      if (!use_.user_names.contains(name)) { return false; }
    }
    const ParameterText* words = find_parameter_text(parameter           ? parameter->name
                                                     : suffix != nullptr ? suffix->suffix
                                                                         : std::string_view());
    if (!text_.empty()) { text_ += '\n'; }
    text_ += name + '\n';
    text_ += wrapped(words != nullptr ? words->description : "A name that this configuration defines itself.");
    std::string default_text;
    if (parameter) {
      text_ += row("type", describe_type(*parameter));
      const bool computed = parameter->computed != config::Computed::no;
      default_text = parameter->default_text;
      text_ += row("default", computed ? "depends on the host or the process" : shown(default_text));
    } else if (suffix != nullptr) {
      default_text = suffix->default_text;
      text_ += row("default", default_text);
    }
    add_value(name, parameter, default_text);
    if (words != nullptr) {
      text_ += row("read by", words->readers.empty() ? "no program of this release" : words->readers);
    }
    return true;
  }

  std::string take() { return std::move(text_); }

 private:
  /// An old name is no parameter any more, but the default of the new one: virtual_alias_maps = $virtual_maps.
  static std::vector<std::string> successors_of(std::string_view name) {
    std::vector<std::string> successors;
    for (const config::Parameter& parameter : config::parameters()) {
      if (parameter.type == config::Type::raw) { continue; }
      const auto names = config::referenced_names(parameter.default_text);
      if (std::ranges::find(names, name) != names.end()) { successors.emplace_back(parameter.name); }
    }
    return successors;
  }

  void add_old_name(const std::string& name, const std::vector<std::string>& successors) {
    if (!text_.empty()) { text_ += '\n'; }
    text_ += name + '\n';
    text_ += wrapped(fmt::format("An old name of {}. Its value still counts where the new name is not set.",
                                 text::join(successors, ", ")));
    add_value(name, std::nullopt, "");
    text_ += row("see", fmt::format("postconf --explain {}", text::join(successors, " ")));
  }

  void add_value(const std::string& name, const std::optional<config::Parameter>& parameter,
                 const std::string& default_text) {
    const config::MainCf& main_cf = files_.config->main_cf();
    const auto setting = std::find_if(main_cf.settings.rbegin(), main_cf.settings.rend(),
                                      [&](const config::Setting& item) { return item.name == name; });
    std::string raw = default_text;
    std::string origin = "the default";
    if (setting != main_cf.settings.rend()) {
      raw = setting->value;
      origin = fmt::format("{}, line {}", main_cf.file, setting->line);
    } else if (parameter) {
      raw = files_.config->raw(name);
    }
    text_ += row("value", fmt::format("{}  ({})", shown(raw), origin));
    if (!parameter || parameter->type != config::Type::raw) {
      const auto expanded = files_.config->expand_text(raw);
      if (!expanded) {
        text_ += row("means", fmt::format("nothing: {}", expanded.error().message()));
      } else if (*expanded != raw) {
        text_ += row("means", shown(*expanded));
      }
    }
    for (const config::ServiceEntry& service : files_.master.services) {
      for (const auto& [key, value] : service.overrides) {
        if (key != name) { continue; }
        text_ += row("service", fmt::format("{}: {}  ({}, line {})", service.key(), shown(value), files_.master.file,
                                            service.line));
      }
    }
  }

  const Files& files_;
  const config::NameUse& use_;
  std::string text_;
};

std::string suggestion(std::string_view name, const config::NameUse& use) {
  std::vector<std::string_view> known;
  for (const config::Parameter& parameter : config::parameters()) { known.push_back(parameter.name); }
  for (const auto& [service_name, row] : use.service_names) { known.push_back(service_name); }
  known.insert(known.end(), use.user_names.begin(), use.user_names.end());
  return did_you_mean(name, known);
}

}  // namespace

std::optional<ExplainRequest> explain_request(const std::vector<std::string>& arguments) {
  ExplainRequest request;
  std::size_t at = 0;
  if (arguments.size() > 2 && arguments[0] == "-c") {
    request.config_directory = arguments[1];
    at = 2;
  }
  if (at >= arguments.size()) { return std::nullopt; }
  const std::string& option = arguments[at];
  if (option.starts_with(kOption) && option.size() > kOption.size() && option[kOption.size()] == '=') {
    request.names.push_back(option.substr(kOption.size() + 1));
  } else if (option != kOption) {
    return std::nullopt;
  }
  request.names.insert(request.names.end(), arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1, arguments.end());
  return request;
}

Result<Output> explain(const ExplainRequest& request) {
  if (request.names.empty()) { return failure("--explain requires the name of a parameter"); }
  Options options;
  options.config_directory = request.config_directory;
  Output output;
  SP_TRY(const Files files, read_files(options, output.warnings));
  const config::NameUse use = config::check_names(*files.config, files.master);
  Explanation explanation(files, use);
  std::vector<std::string> unknown;
  for (const std::string& name : request.names) {
    if (!explanation.add(name)) { unknown.push_back(printable(name) + suggestion(name, use)); }
  }
  if (!unknown.empty()) { return failure(fmt::format("unknown parameter: {}", text::join(unknown, ", "))); }
  output.text = explanation.take();
  return output;
}

}  // namespace stagepost::postconf
