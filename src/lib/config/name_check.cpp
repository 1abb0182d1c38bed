#include "config/name_check.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/nearest_name.hpp"
#include "base/text.hpp"

namespace stagepost::config {
namespace {

using Names = std::set<std::string, std::less<>>;

void add_service_names(const MasterCf& master, NameUse& use) {
  static constexpr std::array<std::string_view, 6> kAgents{"smtp", "lmtp", "local", "virtual", "pipe", "error"};
  for (const ServiceEntry& service : master.services) {
    const bool agent = std::ranges::find(kAgents, service.command) != kAgents.end();
    const bool command = service.command == "pipe" || service.command == "spawn";
    for (const ServiceParameter& row : service_parameters()) {
      if (row.only_commands ? !command : !agent) { continue; }
      use.service_names.emplace(service.name + std::string(row.suffix), &row);
    }
  }
}

}  // namespace

std::string nearest_parameter(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Parameter& parameter : parameters()) { names.push_back(parameter.name); }
  return std::string(nearest_name(name, names));
}

std::vector<std::string_view> referenced_names(std::string_view text) {
  std::vector<std::string_view> names;
  for (std::size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at)) {
    ++at;
    if (at < text.size() && text[at] == '$') {
      ++at;
      continue;
    }
    if (at < text.size() && (text[at] == '{' || text[at] == '(')) {
      ++at;
      while (at < text.size() && text::is_space(text[at])) { ++at; }
    }
    std::size_t end = at;
    while (end < text.size() && (text::is_alnum(text[end]) || text[end] == '_')) { ++end; }
    if (end > at) { names.push_back(text.substr(at, end - at)); }
    at = end;
  }
  return names;
}

NameUse check_names(const Snapshot& config, const MasterCf& master) {
  NameUse use;
  add_service_names(master, use);

  Names referenced;
  std::set<NamedTable> tables;
  const auto scan = [&](std::string_view value) {
    for (const std::string_view name : referenced_names(value)) { referenced.emplace(name); }
  };
  for (const Parameter& row : parameters()) {
    if (row.type != Type::raw) { scan(row.default_text); }
  }

  // What the administrator wrote: values of main.cf (the last of each name) and of -o.
  std::vector<std::string> names_set = config.names_set();
  for (const auto& [name, value] : config.overrides()) {
    if (std::ranges::find(names_set, name) == names_set.end()) { names_set.push_back(name); }
  }
  Names defined(names_set.begin(), names_set.end());
  struct Written {
    const std::string* file;
    std::string_view name;
    std::string_view value;
    bool in_master_cf = false;
  };
  std::vector<Written> written;
  for (const std::string& name : names_set) { written.push_back({&config.main_cf().file, name, config.raw(name)}); }
  for (const ServiceEntry& service : master.services) {
    // The last setting of a name counts.
    std::map<std::string_view, std::string_view> last;
    for (const auto& [name, value] : service.overrides) { last[name] = value; }
    for (const auto& [name, value] : last) {
      written.push_back({&master.file, name, value, true});
      defined.emplace(name);
    }
  }
  const auto known = [&](std::string_view name) {
    return find_parameter(name).has_value() || use.service_names.contains(name);
  };
  Names undefined_seen;
  std::vector<Written> references;
  for (const Written& item : written) {
    if (const auto parameter = find_parameter(item.name); parameter && parameter->type == Type::raw) {
      continue;  // its $names belong to the program that uses it
    }
    scan(item.value);
    if (known(item.name)) {
      const std::string expanded = config.expand_text(item.value).value_or(std::string(item.value));
      for (NamedTable& table : named_tables(expanded)) { tables.insert(std::move(table)); }
      if (item.name == "smtpd_restriction_classes") {
        for (std::string& name : split_list(expanded)) { referenced.insert(std::move(name)); }
      }
    }
    for (const std::string_view name : referenced_names(item.value)) { references.push_back({item.file, name, {}}); }
  }
  for (const NamedTable& table : tables) {
    if (table.in_file()) {
      use.table_files.push_back(table);
    } else {
      for (const std::string_view parameter : table_parameters(table.type)) {
        referenced.insert(fmt::format("{}_{}", table.name, parameter));
      }
    }
  }
  for (const Written& reference : references) {
    if (!known(reference.name) && !defined.contains(reference.name) && undefined_seen.emplace(reference.name).second) {
      use.undefined.push_back({*reference.file, std::string(reference.name)});
    }
  }
  for (const Written& item : written) {
    if (known(item.name)) { continue; }
    if (referenced.contains(item.name)) {
      use.user_names.emplace(item.name);
    } else {
      use.unused.push_back({*item.file, std::string(item.name), std::string(item.value), item.in_master_cf});
    }
  }
  return use;
}

}  // namespace stagepost::config
