#include "config/snapshot.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <unistd.h>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "config/compatibility_level.hpp"
#include "config/environment.hpp"
#include "config/expansion.hpp"
#include "config/host_defaults.hpp"
#include "config/origin_name.hpp"

namespace stagepost::config {
namespace {

// Beyond these, even a text that is a default might not be expandable, so all of them are looked at.
constexpr std::size_t kUsualBytes = std::size_t{64} << 10;  // all values together
constexpr std::size_t kUsualDepth = 20;

constexpr std::size_t kReferenceDepth = 100;                   // $a -> $b -> $c ...
constexpr std::size_t kExpandedBytes = std::size_t{64} << 20;  // all values together
constexpr ExpansionLimits kValueLimits{.depth = 50, .result_bytes = std::size_t{1} << 20};

struct NameHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
};

struct Value {
  enum class Stage { untouched, active, done };
  std::optional<Parameter> parameter;  // none: user-defined or per-transport
  Type type = Type::text;
  char time_unit = 's';
  std::string raw;
  std::string text;
  std::int64_t number = 0;  // integer, seconds or boolean
  std::string origin;       // "file, line N" or "-o name=value"; empty: default
  bool in_main_cf = false;
  std::size_t line = 0;  // in main.cf
  Stage stage = Stage::untouched;
  bool checked = false;
  std::size_t depth = 0;  // of the longest chain of references below it
  std::optional<Error> error;
};

Error too_deep(std::string_view name) {
  return Error{std::make_error_code(std::errc::invalid_argument),
               fmt::format("{} refers to itself or is nested too deeply", name)};
}

Value from_registry(const Parameter& parameter) {
  Value value;
  value.parameter = parameter;
  value.type = parameter.type;
  value.time_unit = parameter.time_unit;
  value.raw = parameter.default_text;
  return value;
}

bool is_read_only(std::string_view name) {
  return name == "process_name" || name == "process_id" || name == "service_name";
}

}  // namespace

// A process uses some dozens of the thousand parameters. Values that are set, and defaults that depend on such, are
// there (and checked) from the start; other defaults, which cannot be wrong, come with their first use.
struct Snapshot::State {
  std::mutex guard;  // of `values`, whose elements stay where they are, and of what is done to those that are new
  LoadOptions options;
  MainCf main_cf;
  std::vector<std::string> warnings;
  std::vector<std::string> problems;
  std::unordered_map<std::string, Value, NameHash, std::equal_to<>> values;
  std::size_t expanded_bytes = 0;
  std::optional<std::string> origin_as_written;  // once `values` has the name that it leads to

  /// Null: neither set nor known.
  Value* known(std::string_view name) {
    if (const auto found = values.find(name); found != values.end()) { return &found->second; }
    const auto parameter = find_parameter(name);
    if (!parameter) { return nullptr; }
    return &values.emplace(std::string(name), from_registry(*parameter)).first->second;
  }

  Value& slot(std::string_view name) {
    if (Value* value = known(name); value != nullptr) { return *value; }
    Value value;
    if (const ServiceParameter* service = find_service_parameter(name); service != nullptr) {
      value.type = service->type;
    }
    return values.emplace(std::string(name), std::move(value)).first->second;
  }

  /// For readers: null, or a value that is expanded and checked.
  const Value* find(std::string_view name) {
    const std::scoped_lock lock(guard);
    Value* value = known(name);
    if (value != nullptr && !value->checked) { complete(name, *value); }
    return value;
  }

  void complete(std::string_view name, Value& value) {
    resolve(name, value, 0);
    value.checked = true;
    if (value.error) { return; }
    if (auto passed = check(name, value); !passed) { value.error = std::move(passed).error(); }
  }

  void collect() {
    warnings = main_cf.warnings;
    for (const Setting& setting : main_cf.settings) {
      if (is_read_only(setting.name)) {
        warnings.push_back(fmt::format("{}, line {}: read-only parameter assignment: {}={}", main_cf.file, setting.line,
                                       setting.name, printable(setting.value)));
        continue;
      }
      Value& value = slot(setting.name);
      if (value.in_main_cf) {
        warnings.push_back(fmt::format("{}, line {}: overriding earlier entry: {}={}", main_cf.file, setting.line,
                                       setting.name, printable(value.raw)));
      }
      value.raw = setting.value;
      value.origin = fmt::format("{}, line {}", main_cf.file, setting.line);
      value.in_main_cf = true;
      value.line = setting.line;
    }
    for (const auto& [name, text] : options.overrides) {
      if (!is_read_only(name)) {
        Value& value = slot(name);
        value.raw = text::trim(text);
        value.origin = "-o " + name;
      }
    }
    slot("process_name").raw = options.process_name;
    slot("service_name").raw = options.service_name;
    slot("process_id").raw = std::to_string(::getpid());
    // -c, MAIL_CONFIG or the build decide where the configuration is; main.cf itself cannot.
    slot("config_directory").raw = options.config_directory;
    if (Value& stress = slot("stress"); options.stress && stress.origin.empty()) { stress.raw = "yes"; }
  }

  Result<std::string> text_of(std::string_view name, std::size_t depth) {
    Value* value = known(name);
    SP_ASSERT(value != nullptr);
    resolve(name, *value, depth);
    if (value->error) { return std::unexpected(*value->error); }
    return origin_as_written && name == "myorigin" ? *origin_as_written : value->text;
  }

  Result<std::string> compute_default(Computed computed, std::size_t depth) {
    switch (computed) {
      case Computed::myhostname: {
        std::string host = host_name();
        if (host.find('.') != std::string::npos) { return host; }
        if (known("mydomain")->origin.empty()) { return host + ".localdomain"; }
        SP_TRY(const std::string domain, text_of("mydomain", depth));
        return host + "." + domain;
      }
      case Computed::mydomain: {
        SP_TRY(const std::string host, text_of("myhostname", depth));
        return domain_of(host);
      }
      case Computed::mynetworks: {
        SP_TRY(const std::string style, text_of("mynetworks_style", depth));
        SP_TRY(const std::string interfaces, text_of("inet_interfaces", depth));
        SP_TRY(const std::string protocols, text_of("inet_protocols", depth));
        return own_networks(style, interfaces, protocols);
      }
      case Computed::no:
      case Computed::process_id:
      case Computed::process_name:
      case Computed::config_directory:
        break;
    }
    return failure("not a computed default");
  }

  static bool is_computed_late(const Value& value) {
    return value.parameter && value.origin.empty() &&
           (value.parameter->computed == Computed::myhostname || value.parameter->computed == Computed::mydomain ||
            value.parameter->computed == Computed::mynetworks);
  }

  /// Fills text (or error) of one value, and of those it refers to.
  void resolve(std::string_view name, Value& value, std::size_t depth) {
    if (value.stage == Value::Stage::done) { return; }
    if (value.stage == Value::Stage::active || depth > kReferenceDepth) {
      value.error = too_deep(name);
      return;
    }
    value.stage = Value::Stage::active;
    value.error.reset();
    if (is_computed_late(value)) {
      auto computed = compute_default(value.parameter->computed, depth + 1);
      if (computed) {
        value.raw = *computed;
        value.text = *std::move(computed);
      } else {
        value.error = std::move(computed).error();
      }
    } else if (value.type == Type::raw || value.raw.find('$') == std::string::npos) {
      value.text = value.raw;
    } else {
      auto expanded = expand(
          value.raw,
          [&](std::string_view other) -> Result<std::optional<std::string>> {
            const Value* used = known(other);
            if (used == nullptr) { return std::nullopt; }
            SP_TRY(std::string text, text_of(other, depth + 1));
            value.depth = std::max(value.depth, used->depth + 1);
            return text;
          },
          kValueLimits);
      if (expanded) {
        value.text = *std::move(expanded);
        expanded_bytes += value.text.size();
      } else {
        value.error = std::move(expanded).error();
      }
    }
    // The same whatever value was asked for first.
    if (!value.error && value.depth > kReferenceDepth) { value.error = too_deep(name); }
    if (!value.error && expanded_bytes > kExpandedBytes) {
      value.error = Error{std::make_error_code(std::errc::not_enough_memory), "expanded values are too large"};
    }
    value.stage = Value::Stage::done;
  }

  static Result<> check(std::string_view name, Value& value) {
    const std::string_view text = text::trim(value.text);
    std::optional<std::int64_t> number;
    switch (value.type) {
      case Type::raw:
      case Type::text:
        if (name == "import_environment" || name == "export_environment") {
          if (auto checked = check_environment_list(text); !checked) {
            return std::unexpected(std::move(checked).error().within(name));
          }
        }
        if (name == "compatibility_level" && !parse_compatibility_level(text)) {
          return failure(fmt::format("malformed compatibility level syntax: \"{}\"", printable(text)));
        }
        if (value.parameter && value.parameter->minimum > 0 && text.empty()) {
          return failure(fmt::format("{} must not be empty", name));
        }
        return {};
      case Type::boolean:
        if (!text::iequals(text, "yes") && !text::iequals(text, "no")) {
          return failure(fmt::format("bad boolean configuration: {} = {}", name, printable(text)));
        }
        value.number = text::iequals(text, "yes") ? 1 : 0;
        return {};
      case Type::integer:
        number = text::parse_signed(text.starts_with('+') ? text.substr(1) : text);
        if (!number) { return failure(fmt::format("bad numerical configuration: {} = {}", name, printable(text))); }
        break;
      case Type::time:
        number = parse_time(text, value.time_unit);
        if (!number) { return failure(fmt::format("parameter {}: bad time value or unit: {}", name, printable(text))); }
        break;
    }
    const std::int64_t minimum = value.parameter ? value.parameter->minimum : 0;
    const std::int64_t maximum = value.parameter ? value.parameter->maximum : INT32_MAX;
    if (*number < minimum || *number > maximum) {
      return failure(fmt::format("invalid {} parameter value {} {} {}", name, *number, *number < minimum ? '<' : '>',
                                 *number < minimum ? minimum : maximum));
    }
    value.number = *number;
    return {};
  }

  /// Puts the default in the place of a value that only other programs look at.
  void use_default(std::string_view name, Value& value) {
    value.raw = value.parameter->default_text;
    value.stage = Value::Stage::untouched;
    value.error.reset();
    resolve(name, value, 0);
    if (!value.error) {
      if (auto checked = check(name, value); !checked) { value.error = std::move(checked).error(); }
    }
  }

  /// A default that is computed from values which somebody set may be wrong as well.
  bool inputs_of_mynetworks_are_set() {
    return std::ranges::any_of(std::array{"mynetworks_style", "inet_interfaces", "inet_protocols"},
                               [&](const char* name) { return !known(name)->origin.empty(); });
  }

  void expand_those_that_are_there() {
    for (std::size_t before = 0; before != values.size();) {  // they bring others with them
      before = values.size();
      std::vector<std::pair<std::string_view, Value*>> all;
      all.reserve(before);
      for (auto& [name, value] : values) { all.emplace_back(name, &value); }
      for (const auto& [name, value] : all) { resolve(name, *value, 0); }
    }
  }

  /// Expands and checks everything that can be wrong. The error is the first problem of this process, by name.
  Result<> finish() {
    for (const Parameter& parameter : dependent_parameters()) { known(parameter.name); }
    if (inputs_of_mynetworks_are_set()) { known("mynetworks"); }
    expand_those_that_are_there();
    const auto is_deep = [](const auto& entry) { return entry.second.depth > kUsualDepth; };
    if (options.check == LoadOptions::Check::no || expanded_bytes > kUsualBytes ||
        std::ranges::any_of(values, is_deep)) {
      for (const Parameter& parameter : parameters()) { known(parameter.name); }
      expand_those_that_are_there();
    }
    std::vector<std::pair<const std::string*, Value*>> ordered;
    ordered.reserve(values.size());
    for (auto& [name, value] : values) {
      value.checked = true;
      ordered.emplace_back(&name, &value);
    }
    std::ranges::sort(ordered, {}, [](const auto& entry) { return std::string_view(*entry.first); });
    // Many defaults depend on the level: a bad one is one mistake, not one for each of them.
    Value& level = *known("compatibility_level");
    resolve("compatibility_level", level, 0);
    const bool level_is_bad = !level.error && !check("compatibility_level", level);
    std::optional<Error> first;
    std::vector<std::pair<std::size_t, std::string>> found;  // by line; defaults and -o come first
    for (auto& [name, value] : ordered) {
      if (!value->error) {
        if (auto checked = check(*name, *value); !checked) { value->error = std::move(checked).error(); }
      }
      if (!value->error || (level_is_bad && value->origin.empty())) { continue; }
      const bool concerned = !value->parameter || parameter_concerns(*name, options.process_name);
      // postscreen_pre_queue_limit = $default_process_limit may be too small; who set the limit did nothing wrong.
      if (!concerned && value->origin.empty()) { continue; }
      Error error = *value->error;
      error = value->origin.empty() ? std::move(error).within(fmt::format("{}: default of {}", main_cf.file, *name))
                                    : std::move(error).within(value->origin);
      found.emplace_back(value->in_main_cf ? value->line : 0, error.message());
      if (options.check == LoadOptions::Check::no) { continue; }
      if (!concerned) {
        use_default(*name, *value);
      } else if (!first) {
        first = std::move(error);
      }
    }
    std::ranges::sort(found);
    for (auto& [line, text] : found) { problems.push_back(std::move(text)); }
    if (first) { return std::unexpected(*std::move(first)); }
    return name_origin();
  }

  /// The file that myorigin may name is read when everything else is known: $myorigin elsewhere stands for the path.
  Result<> name_origin() {
    Value& value = slot("myorigin");
    if (value.error) { return {}; }
    auto name = origin_name(value.text);
    if (options.check == LoadOptions::Check::no) {
      if (!name) { problems.push_back(std::move(name).error().within(value.origin).message()); }
      return {};
    }
    if (!name) { return std::unexpected(std::move(name).error()); }
    origin_as_written = std::exchange(value.text, *std::move(name));
    return {};
  }

  const Value& typed(std::string_view name, Type type) {
    const Value* value = find(name);
    SP_ASSERT(value != nullptr);
    SP_ASSERT(value->type == type);
    SP_ASSERT(!value->error);
    return *value;
  }

  /// The per-transport value if it exists, otherwise the general one that the suffix's default names.
  const Value& per_transport(std::string_view transport, std::string_view suffix) {
    const Value* value = find(std::string(transport).append(suffix));
    if (value == nullptr) {
      const auto rows = service_parameters();
      const auto row = std::ranges::find(rows, suffix, &ServiceParameter::suffix);
      SP_ASSERT(row != rows.end());
      value = find(row->default_text.substr(1));
    }
    SP_ASSERT(value != nullptr);
    SP_ASSERT(!value->error);
    return *value;
  }
};

Snapshot::Snapshot(std::unique_ptr<State> state) : state_(std::move(state)) {}
Snapshot::~Snapshot() = default;

namespace {

LoadOptions with_directory(LoadOptions options) {
  if (options.config_directory.empty()) { options.config_directory = default_config_directory(); }
  return options;
}

}  // namespace

Result<SnapshotPtr> Snapshot::build(LoadOptions options, MainCf main_cf) {
  auto state = std::make_unique<State>();
  state->options = with_directory(std::move(options));
  state->main_cf = std::move(main_cf);
  state->collect();
  SP_TRY(state->finish());
  return SnapshotPtr(new Snapshot(std::move(state)));
}

Result<SnapshotPtr> Snapshot::load(const LoadOptions& options) {
  SP_TRY(MainCf main_cf, read_main_cf(with_directory(options).config_directory + "/main.cf"));
  return build(options, std::move(main_cf));
}

Result<SnapshotPtr> Snapshot::from_text(std::string_view main_cf, std::string_view file, const LoadOptions& options) {
  SP_TRY(MainCf parsed, parse_main_cf(main_cf, file));
  return build(options, std::move(parsed));
}

Result<SnapshotPtr> Snapshot::with(const Overrides& overrides, bool stress) const {
  LoadOptions options = state_->options;
  options.overrides.insert(options.overrides.end(), overrides.begin(), overrides.end());
  options.stress = stress;
  return build(std::move(options), state_->main_cf);
}

const std::string& Snapshot::text(std::string_view name) const {
  const Value* value = state_->find(name);
  SP_ASSERT(value != nullptr);
  return value->text;
}

const std::string& Snapshot::raw(std::string_view name) const {
  const Value* value = state_->find(name);
  SP_ASSERT(value != nullptr);
  return value->raw;
}

std::int64_t Snapshot::integer(std::string_view name) const { return state_->typed(name, Type::integer).number; }

std::chrono::seconds Snapshot::seconds(std::string_view name) const {
  return std::chrono::seconds(state_->typed(name, Type::time).number);
}

bool Snapshot::boolean(std::string_view name) const { return state_->typed(name, Type::boolean).number != 0; }

std::vector<std::string> Snapshot::list(std::string_view name) const { return split_list(text(name)); }

std::int64_t Snapshot::integer(std::string_view transport, std::string_view suffix) const {
  const Value& value = state_->per_transport(transport, suffix);
  SP_ASSERT(value.type == Type::integer);
  return value.number;
}

std::chrono::seconds Snapshot::seconds(std::string_view transport, std::string_view suffix) const {
  const Value& value = state_->per_transport(transport, suffix);
  SP_ASSERT(value.type == Type::time);
  return std::chrono::seconds(value.number);
}

std::string Snapshot::text(std::string_view transport, std::string_view suffix) const {
  return state_->per_transport(transport, suffix).text;
}

std::optional<std::string> Snapshot::find_text(std::string_view name) const {
  const Value* value = state_->find(name);
  if (value == nullptr || value->error) { return std::nullopt; }
  return value->text;
}

Result<std::string> Snapshot::expand_text(std::string_view text) const {
  return expand(
      text,
      [this](std::string_view name) -> Result<std::optional<std::string>> {
        const Value* value = state_->find(name);
        if (value == nullptr) { return std::nullopt; }
        // Values of the wrong type still have a text; only a failed expansion has none.
        if (value->error && value->text.empty() && !value->raw.empty()) { return std::unexpected(*value->error); }
        return value->text;
      },
      kValueLimits);
}

bool Snapshot::is_set(std::string_view name) const {
  const Value* value = state_->find(name);
  return value != nullptr && !value->origin.empty();
}

const std::string& Snapshot::config_directory() const { return state_->options.config_directory; }
const MainCf& Snapshot::main_cf() const { return state_->main_cf; }
const std::vector<std::string>& Snapshot::problems() const { return state_->problems; }
const Overrides& Snapshot::overrides() const { return state_->options.overrides; }
const std::vector<std::string>& Snapshot::warnings() const { return state_->warnings; }

std::vector<std::string> Snapshot::names_set() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : state_->values) {
    if (value.in_main_cf) { names.push_back(name); }
  }
  std::ranges::sort(names);
  return names;
}

bool parameter_concerns(std::string_view parameter, std::string_view process) {
  struct Row {
    std::string_view prefix;
    std::string_view programs;  // between spaces
  };
  // Only prefixes that no other program reads (postconf(5)).
  static constexpr Row kRows[] = {
      {"anvil_", " anvil "},
      {"connection_cache_", " scache smtp lmtp "},
      {"lmtp_", " lmtp smtp tlsproxy "},
      {"postlogd_", " postlogd "},
      {"qmgr_", " qmgr "},
      {"smtp_", " smtp lmtp tlsproxy "},
      {"smtpd_", " smtpd postscreen tlsproxy qmqpd anvil "},
      {"postscreen_", " postscreen dnsblog tlsproxy "},
      {"tlsproxy_", " tlsproxy "},
      {"qmqpd_", " qmqpd "},
  };
  if (process.empty()) { return true; }
  const auto row = std::ranges::find_if(kRows, [&](const Row& r) { return parameter.starts_with(r.prefix); });
  return row == std::end(kRows) || row->programs.find(fmt::format(" {} ", process)) != std::string_view::npos;
}

std::vector<std::string> split_list(std::string_view text) {
  constexpr std::string_view kSeparators = ", \t\r\n";
  std::vector<std::string> pieces;
  std::size_t at = 0;
  for (;;) {
    at = text.find_first_not_of(kSeparators, at);
    if (at == std::string_view::npos) { return pieces; }
    const std::size_t start = at;
    std::size_t nesting = 0;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      if (c == '{') {
        ++nesting;
      } else if (c == '}' && nesting > 0) {
        --nesting;
      } else if (nesting == 0 && kSeparators.find(c) != std::string_view::npos) {
        break;
      }
    }
    pieces.emplace_back(text.substr(start, at - start));
  }
}

}  // namespace stagepost::config
