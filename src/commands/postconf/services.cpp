#include "commands/postconf/services.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "base/nearest_name.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "commands/postconf/display.hpp"
#include "config/expansion.hpp"
#include "config/main_cf.hpp"
#include "config/master_cf_edit.hpp"

namespace stagepost::postconf {
namespace {

constexpr std::array<std::string_view, 8> kFields{"service", "type",   "private",       "unprivileged",
                                                  "chroot",  "wakeup", "process_limit", "command"};

/// "name/type/item"; what is missing is "*".
struct Request {
  std::string name = "*";
  std::string type = "*";
  std::string item = "*";
  std::string_view text;
  bool used = false;

  [[nodiscard]] bool matches(const config::ServiceEntry& entry) const {
    return (name == "*" || name == entry.name) && (type == "*" || type == config::to_string(entry.type));
  }
};

Request parse_request(std::string_view text) {
  Request request;
  request.text = text;
  const auto pieces = text::split_exact(text, '/');
  request.name = pieces[0];
  if (pieces.size() > 1) { request.type = pieces[1]; }
  if (pieces.size() > 2) { request.item = pieces[2]; }
  return request;
}

/// $name of a service's -o values: its own overrides and name over main.cf.
Result<std::string> expand_for(const config::Snapshot& snapshot, const config::ServiceEntry& entry,
                               std::string_view text) {
  return config::expand(text, [&](std::string_view name) -> Result<std::optional<std::string>> {
    if (name == "service_name") { return entry.name; }
    return snapshot.find_text(name);
  });
}

/// The entry with its -o values expanded.
Result<config::ServiceEntry> expanded(const config::Snapshot& snapshot, config::ServiceEntry entry) {
  SP_TRY(const config::SnapshotPtr own, snapshot.with(entry.overrides, false));
  for (std::size_t i = kFields.size(); i + 1 < entry.options_end; ++i) {
    if (entry.columns[i] != "-o") { continue; }
    std::string_view assignment = entry.columns[++i];
    if (assignment.starts_with('{') && assignment.ends_with('}')) {
      assignment = assignment.substr(1, assignment.size() - 2);
    }
    const auto setting = config::parse_assignment(assignment);
    if (!setting) { continue; }
    SP_TRY(const std::string value, expand_for(*own, entry, setting->value));
    const std::string result = setting->name + "=" + value;
    entry.columns[i] = std::ranges::any_of(result, text::is_space) ? "{" + result + "}" : result;
  }
  for (auto& [name, value] : entry.overrides) {
    const auto parameter = config::find_parameter(name);
    if (parameter && parameter->type == config::Type::raw) { continue; }
    SP_TRY(value, expand_for(*own, entry, value));
  }
  return entry;
}

/// -PP: the entry with what its program takes from main.cf and the defaults behind its -o values; `item` is a name or
/// "*".
void add_inherited(const config::Snapshot& snapshot, std::string_view item, config::ServiceEntry& entry) {
  std::set<std::string, std::less<>> names;
  if (item != "*") {
    names.emplace(item);
  } else {
    for (const config::Parameter& parameter : config::parameters()) { names.emplace(parameter.name); }
    for (std::string& name : snapshot.names_set()) { names.insert(std::move(name)); }
  }
  for (const auto& [name, value] : entry.overrides) { names.erase(name); }
  for (const std::string& name : names) {
    if (!config::find_parameter(name) && !snapshot.is_set(name)) { continue; }
    const bool own_name = name == "service_name";
    entry.overrides.emplace_back(name, own_name ? entry.name : snapshot.raw(name));
  }
}

/// A field as -F shows it; a command keeps its white space.
std::string format_field(const config::ServiceEntry& entry, std::size_t field, const Options& options) {
  const std::string label = fmt::format("{}/{}", entry.key(), kFields[field]);
  if (options.hide_value) { return label + "\n"; }
  const std::string start = options.hide_name ? "" : label + " = ";
  if (kFields[field] != "command") { return start + entry.columns[field] + "\n"; }
  return config::format_command(start, entry, options.fold ? config::Fold::yes : config::Fold::no) + "\n";
}

void show_fields(const config::ServiceEntry& entry, const Request& request, const Options& options, std::string& text) {
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    if (request.item == "*" || request.item == kFields[i]) { text += format_field(entry, i, options); }
  }
}

bool show_overrides(const config::ServiceEntry& entry, const Request& request, const Options& options,
                    std::string& text) {
  std::map<std::string, std::string> values(entry.overrides.begin(), entry.overrides.end());
  for (const auto& [name, value] : entry.overrides) { values[name] = value; }
  bool any = false;
  const Style style{.hide_name = options.hide_name, .hide_value = options.hide_value, .fold = options.fold};
  for (const auto& [name, value] : values) {
    if (request.item == "*" || request.item == name) {
      any = true;
      text += format_setting(fmt::format("{}/{}", entry.key(), name), value, style);
    }
  }
  return any;
}

/// Services as JSON: -M and -F an object of fields for each, the command's arguments apart from it; -P an object of
/// parameters. A service without anything that was asked for is left out.
class Json {
 public:
  explicit Json(Subject subject) : subject_(subject) {}

  /// False: nothing of `entry` was asked for.
  bool add(const config::ServiceEntry& entry, std::string_view item) {
    std::vector<std::string> members;
    const auto wanted = [&](std::string_view name) { return item == "*" || item == name; };
    if (subject_ == Subject::service_parameters) {
      std::map<std::string, std::string> values;
      for (const auto& [name, value] : entry.overrides) { values[name] = value; }
      for (const auto& [name, value] : values) {
        if (wanted(name)) { members.push_back(json_member(name, value)); }
      }
    } else {
      for (std::size_t i = 0; i < kFields.size(); ++i) {
        if (wanted(kFields[i])) { members.push_back(json_member(kFields[i], entry.columns[i])); }
      }
      if (wanted("command")) {
        std::vector<std::string> arguments;
        for (const std::string& argument : entry.args) { arguments.push_back(json_string(argument)); }
        members.push_back(fmt::format("\"arguments\": [{}]", text::join(arguments, ", ")));
      }
    }
    if (members.empty()) { return false; }
    services_.push_back(fmt::format("  {}: {{{}}}", json_string(entry.key()), text::join(members, ", ")));
    return true;
  }

  [[nodiscard]] std::string text() const {
    return services_.empty() ? "{}\n" : "{\n" + text::join(services_, ",\n") + "\n}\n";
  }

 private:
  Subject subject_;
  std::vector<std::string> services_;
};

Result<> check_field(std::string_view item) {
  if (item != "*" && std::ranges::find(kFields, item) == kFields.end()) {
    return failure(
        fmt::format("invalid service attribute name: \"{}\"{}", printable(item), did_you_mean(item, kFields)));
  }
  return {};
}

/// Whether a column may have this value.
Result<> check_field_value(std::string_view item, std::string_view value) {
  std::string line;
  for (const std::string_view field : kFields) {
    const std::string_view stock = field == "type" ? "unix" : field == "service" || field == "command" ? "x" : "-";
    line += field == item ? value : stock;
    line += ' ';
  }
  const auto entry = config::parse_service(line, config::Reading::as_written);
  if (!entry) { return failure(fmt::format("{} in \"{}\"", entry.error().message(), printable(value))); }
  return {};
}

/// "request = value" with the request's parts checked for the subject.
struct Change {
  std::string_view argument;
  Request request;
  std::string value;
};

Result<Change> parse_change(const Options& options, std::string_view argument) {
  Change change{.argument = argument, .request = {}, .value = {}};
  std::string_view left = argument;
  if (options.edit) {
    const std::size_t equals = argument.find('=');
    left = text::trim(argument.substr(0, equals));
    change.value = text::trim(argument.substr(equals + 1));
  }
  change.request = parse_request(left);
  const std::size_t parts = text::split_exact(left, '/').size();
  switch (options.subject) {
    case Subject::services:
      if (parts != 2) { return failure("-Me, -MX or -M# requires service_name/type"); }
      if (options.edit) {
        const auto entry = config::parse_service(change.value, config::Reading::as_written);
        if (!entry && entry.error().message() == "bad field count") {
          return failure(fmt::format("bad field count: \"{}\"", printable(argument)));
        }
      }
      break;
    case Subject::fields:
      if (parts != 3) { return failure("-Fe or -FX requires service_name/type/field_name"); }
      if (change.request.item == "*") { return failure("-Fe does not accept wild-card field name"); }
      SP_TRY(check_field(change.request.item));
      SP_TRY(check_field_value(change.request.item, change.value));
      break;
    default:
      if (parts != 3) { return failure("-Pe or -PX requires service_name/type/parameter"); }
      if (change.request.item == "*") { return failure("-Pe does not accept wild-card parameter name"); }
      if (options.edit && std::ranges::any_of(change.value, text::is_space)) {
        return failure("-Pe does not accept whitespace in parameter value");
      }
  }
  return change;
}

/// The columns of an entry as one line of master.cf.
std::string entry_line(const std::vector<std::string>& columns) { return text::join(columns, " "); }

/// An entry with one field or parameter changed, as a line.
std::string changed_line(const Options& options, const config::ServiceEntry& entry, const Change& change) {
  std::vector<std::string> columns = entry.columns;
  if (options.subject == Subject::fields) {
    const auto field = std::ranges::find(kFields, change.request.item) - kFields.begin();
    if (change.request.item == "command") { columns.resize(kFields.size()); }
    columns[static_cast<std::size_t>(field)] = change.value;
    return entry_line(columns);
  }
  // Parameters: every instance of the name changes or goes; a new one is put behind the other options.
  const std::string assignment = change.request.item + "=" + change.value;
  bool found = false;
  std::size_t end = entry.options_end;
  for (std::size_t i = kFields.size(); i + 1 < end;) {
    std::string_view present = columns[i + 1];
    if (present.starts_with('{')) { present.remove_prefix(1); }
    const bool named = text::trim(present.substr(0, present.find('='))) == change.request.item;
    if (columns[i] == "-o" && named && options.edit) {
      columns[i + 1] = assignment;
      found = true;
    } else if (columns[i] == "-o" && named) {
      columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(i),
                    columns.begin() + static_cast<std::ptrdiff_t>(i + 2));
      end -= 2;
      continue;
    }
    i += columns[i] == "-o" ? 2 : 1;
  }
  if (options.edit && !found) {
    const std::array<std::string, 2> words{"-o", assignment};
    columns.insert(columns.begin() + static_cast<std::ptrdiff_t>(end), words.begin(), words.end());
  }
  return entry_line(columns);
}

}  // namespace

Result<Output> show_services(const Options& options) {
  Output output;
  SP_TRY(const Files files, read_files(options, output.warnings));
  std::vector<Request> requests;
  for (const std::string& argument : options.arguments) {
    const std::size_t parts = text::split_exact(argument, '/').size();
    if (options.subject == Subject::services && parts > 2) { return failure("-M option requires service_name[/type]"); }
    if (parts > 3) {
      return failure(options.subject == Subject::fields ? "-F option requires service_name[/type[/field]]"
                                                        : "-P option requires service_name[/type[/parameter]]");
    }
    requests.push_back(parse_request(argument));
    if (options.subject == Subject::fields) { SP_TRY(check_field(requests.back().item)); }
  }
  if (requests.empty()) { requests.emplace_back(); }
  Json json(options.subject);
  // Request by request, each in file order.
  for (Request& request : requests) {
    for (const config::ServiceEntry& original : files.master.services) {
      if (!request.matches(original)) { continue; }
      config::ServiceEntry entry = original;
      if (options.inherited) { add_inherited(*files.config, request.item, entry); }
      if (options.expand) { SP_TRY(entry, expanded(*files.config, std::move(entry))); }
      if (options.json) {
        request.used = json.add(entry, request.item) || request.used;
      } else if (options.subject == Subject::services) {
        request.used = true;
        output.text += config::format_entry(entry, options.fold ? config::Fold::yes : config::Fold::no) + "\n";
      } else if (options.subject == Subject::fields) {
        request.used = true;
        show_fields(entry, request, options, output.text);
      } else {
        request.used = show_overrides(entry, request, options, output.text) || request.used;
      }
    }
    if (!request.used && !options.arguments.empty()) {
      output.warnings.push_back(fmt::format("unmatched request: \"{}\"", printable(request.text)));
    }
  }
  if (options.json) { output.text = json.text(); }
  SP_TRY(add_name_warnings(config::check_names(*files.config, files.master), options.subject, output.warnings));
  return output;
}

Result<Output> change_services(const Options& options) {
  Output output;
  const std::string path = config_directory(options) + "/master.cf";
  std::vector<Change> changes;
  for (const std::string& argument : options.arguments) {
    SP_TRY(Change change, parse_change(options, argument));
    changes.push_back(std::move(change));
  }
  for (const Change& change : changes) {
    if (options.subject == Subject::services) {
      config::ServiceEdit edit{.name = change.request.name, .type = change.request.type, .entry = change.value};
      if (!options.edit) {
        edit.kind = options.exclude ? config::ServiceEdit::Kind::remove : config::ServiceEdit::Kind::comment_out;
      }
      SP_TRY(config::edit_master_cf_file(path, edit));
      continue;
    }
    SP_TRY(const config::MasterCf master, config::read_master_cf(path, {}, config::Reading::as_written));
    bool used = false;
    for (const config::ServiceEntry& entry : master.services) {
      if (change.request.matches(entry)) {
        used = true;
        SP_TRY(config::edit_master_cf_file(path, {.name = entry.name,
                                                  .type = std::string(config::to_string(entry.type)),
                                                  .entry = changed_line(options, entry, change)}));
      }
    }
    if (!used) {
      output.warnings.push_back(fmt::format("unmatched service_name/type: \"{}\"", printable(change.argument)));
    }
  }
  return output;
}

}  // namespace stagepost::postconf
