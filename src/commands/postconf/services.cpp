#include "commands/postconf/services.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>

#include <fmt/format.h>

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

std::string arguments_text(const config::ServiceEntry& entry) {
  std::string result = entry.command;
  for (std::size_t i = kFields.size(); i < entry.columns.size(); ++i) { result += " " + entry.columns[i]; }
  return result;
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
  for (std::size_t i = kFields.size(); i + 1 < entry.columns.size(); ++i) {
    if (entry.columns[i] != "-o") { continue; }
    std::string_view assignment = entry.columns[++i];
    if (assignment.starts_with('{') && assignment.ends_with('}')) {
      assignment = assignment.substr(1, assignment.size() - 2);
    }
    SP_TRY(const config::Setting setting, config::parse_assignment(assignment));
    SP_TRY(const std::string value, expand_for(*own, entry, setting.value));
    const std::string result = setting.name + "=" + value;
    entry.columns[i] = std::ranges::any_of(result, text::is_space) ? "{" + result + "}" : result;
  }
  for (auto& [name, value] : entry.overrides) { SP_TRY(value, expand_for(*own, entry, value)); }
  return entry;
}

/// A value of -F or -P; folded, each -o of a command starts a line.
std::string format_item(const std::string& label, const config::ServiceEntry& entry, std::string_view field,
                        const std::string& value, const Options& options) {
  const Style style{.hide_name = options.hide_name, .hide_value = options.hide_value, .fold = options.fold};
  if (field != "command" || !options.fold || options.hide_value ||
      std::ranges::find(entry.columns, "-o") == entry.columns.end()) {
    return format_setting(label, value, style);
  }
  std::string result = options.hide_name ? entry.command : label + " = " + entry.command;
  for (std::size_t i = kFields.size(); i < entry.columns.size(); ++i) {
    const bool option = entry.columns[i] == "-o" && i + 1 < entry.columns.size();
    result += option ? "\n    -o " + entry.columns[i + 1] : "\n    " + entry.columns[i];
    i += option ? 1 : 0;
  }
  return result + "\n";
}

void show_fields(const config::ServiceEntry& entry, const Request& request, const Options& options, std::string& text) {
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    if (request.item == "*" || request.item == kFields[i]) {
      const std::string value = kFields[i] == "command" ? arguments_text(entry) : entry.columns[i];
      text += format_item(fmt::format("{}/{}", entry.key(), kFields[i]), entry, kFields[i], value, options);
    }
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

Result<> check_field(std::string_view item) {
  if (item != "*" && std::ranges::find(kFields, item) == kFields.end()) {
    return failure(fmt::format("invalid service attribute name: \"{}\"", printable(item)));
  }
  return {};
}

/// "request = value" with the request's parts checked for the subject.
struct Change {
  Request request;
  std::string value;
};

Result<Change> parse_change(const Options& options, std::string_view argument) {
  Change change;
  std::string_view left = argument;
  if (options.edit) {
    const std::size_t equals = argument.find('=');
    left = text::trim(argument.substr(0, equals));
    change.value = text::trim(argument.substr(equals + 1));
  }
  change.request = parse_request(left);
  const std::size_t parts = text::split_exact(left, '/').size();
  const std::size_t wanted = options.subject == Subject::services ? 2 : 3;
  if (parts != wanted) {
    return failure(fmt::format("need service/type{}: \"{}\"",
                               options.subject == Subject::services ? ""
                               : options.subject == Subject::fields ? "/field"
                                                                    : "/parameter",
                               printable(argument)));
  }
  if (options.subject == Subject::fields) {
    SP_TRY(check_field(change.request.item));
    if (change.request.item == "*") {
      return failure(fmt::format("-F needs a field name: \"{}\"", printable(argument)));
    }
  }
  if (options.subject == Subject::service_parameters && options.edit &&
      std::ranges::any_of(change.value, text::is_space)) {
    return failure("-Pe does not accept whitespace in parameter value");
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
  // Parameters: every instance of the name goes, a set one is put where the last was or after the command.
  std::size_t place = kFields.size();
  for (std::size_t i = kFields.size(); i + 1 < columns.size();) {
    std::string_view assignment = columns[i + 1];
    if (assignment.starts_with('{')) { assignment.remove_prefix(1); }
    const std::string_view name = text::trim(assignment.substr(0, assignment.find('=')));
    if (columns[i] == "-o" && (change.request.item == "*" || name == change.request.item)) {
      place = i;
      columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(i),
                    columns.begin() + static_cast<std::ptrdiff_t>(i + 2));
    } else {
      i += columns[i] == "-o" ? 2 : 1;
    }
  }
  if (options.edit) {
    const std::array<std::string, 2> words{"-o", change.request.item + "=" + change.value};
    columns.insert(columns.begin() + static_cast<std::ptrdiff_t>(place), words.begin(), words.end());
  }
  return entry_line(columns);
}

}  // namespace

Result<Output> show_services(const Options& options) {
  Output output;
  SP_TRY(const Files files, read_files(options, output.warnings));
  std::vector<Request> requests;
  for (const std::string& argument : options.arguments) {
    requests.push_back(parse_request(argument));
    if (options.subject == Subject::fields) { SP_TRY(check_field(requests.back().item)); }
  }
  if (requests.empty()) { requests.emplace_back(); }
  // Request by request, each in file order.
  for (Request& request : requests) {
    for (const config::ServiceEntry& original : files.master.services) {
      if (!request.matches(original)) { continue; }
      config::ServiceEntry entry = original;
      if (options.expand) { SP_TRY(entry, expanded(*files.config, original)); }
      if (options.subject == Subject::services) {
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
  add_name_warnings(config::check_names(*files.config, files.master), output.warnings);
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
    SP_TRY(const config::MasterCf master, config::read_master_cf(path));
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
      output.warnings.push_back(fmt::format("unmatched service_name/type: \"{}\"", printable(change.request.text)));
    }
  }
  return output;
}

}  // namespace stagepost::postconf
