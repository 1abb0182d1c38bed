// See the header.
#include "commands/postfix/configuration_check.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "commands/postfix/missing_programs.hpp"
#include "config/name_check.hpp"
#include "config/table_parameters.hpp"
#include "maps/module_loading.hpp"
#include "tls/context.hpp"

namespace stagepost::postfix {
namespace {

constexpr std::size_t kSuggestions = 20;  // each costs a comparison with every parameter
constexpr std::size_t kClassDepth = 10;
constexpr std::size_t kComparedBytes = std::size_t{1} << 20;

using Warnings = std::vector<std::string>;

/// "file, line N" of the setting of `name` that counts; "file" when it is not in main.cf.
std::string place_of(const config::MainCf& main_cf, std::string_view name) {
  const auto setting = std::find_if(main_cf.settings.rbegin(), main_cf.settings.rend(),
                                    [&](const config::Setting& item) { return item.name == name; });
  return setting == main_cf.settings.rend() ? main_cf.file : fmt::format("{}, line {}", main_cf.file, setting->line);
}

void check_names(const config::Snapshot& config, const config::MasterCf& master, Warnings& warnings) {
  const config::NameUse use = config::check_names(config, master);
  std::size_t suggestions = 0;
  for (const auto& item : use.unused) {
    std::string place = place_of(config.main_cf(), item.name);
    if (item.in_master_cf) {
      place = item.file;
      for (const config::ServiceEntry& service : master.services) {
        if (std::ranges::find(service.overrides, std::pair(item.name, item.value)) != service.overrides.end()) {
          place = fmt::format("{}, line {}", item.file, service.line);
        }
      }
    }
    std::string text = fmt::format("{}: unused parameter: {}={}", place, item.name, printable(item.value));
    if (suggestions++ < kSuggestions) {
      const std::string nearest = config::nearest_parameter(item.name);
      if (!nearest.empty()) { text += fmt::format(" (did you mean {}?)", nearest); }
    }
    warnings.push_back(std::move(text));
  }
  for (const auto& item : use.undefined) {
    warnings.push_back(fmt::format("{}: undefined parameter: {}", item.file, item.name));
  }
  for (const config::NamedTable& table : use.table_files) {
    auto found = config::check_table_file(table);
    if (found) {
      warnings.insert(warnings.end(), found->begin(), found->end());
    } else {
      warnings.push_back(found.error().message());
    }
  }
}

/// The index file of a table made by postmap; empty for types that have none.
std::string_view index_suffix(std::string_view type) {
  static constexpr std::pair<std::string_view, std::string_view> kSuffixes[] = {
      {"btree", ".db"}, {"cdb", ".cdb"}, {"hash", ".db"}, {"lmdb", ".lmdb"}};
  const auto row = std::ranges::find(kSuffixes, type, &std::pair<std::string_view, std::string_view>::first);
  return row == std::end(kSuffixes) ? std::string_view() : row->second;
}

bool is_text_table(std::string_view type) {
  return type == "cidr" || type == "pcre" || type == "regexp" || type == "texthash";
}

/// Parameters whose values are tables and nothing else.
bool takes_tables(std::string_view name) { return name.ends_with("_maps") || name.ends_with("_checks"); }

/// Tables that the daemons make themselves when they first write to them.
bool is_cache(std::string_view name) {
  return name.ends_with("_cache_database") || name.ends_with("_cache_map") || name.ends_with("_verify_map");
}

void check_table(const config::TableName& table, const std::string& place, std::string_view command,
                 Warnings& warnings) {
  if (is_text_table(table.type)) {
    if (auto file = sys::stat(table.name); !file) {
      warnings.push_back(
          fmt::format("{}: table {}:{}: {}", place, table.type, printable(table.name), file.error().message()));
    }
    return;
  }
  const std::string_view suffix = index_suffix(table.type);
  if (suffix.empty() || !table.name.starts_with('/')) { return; }
  std::string index = table.name + std::string(suffix);
  auto status = sys::stat(index);
  if (!status && suffix == ".db") {
    // hash: and btree: without Berkeley DB are LMDB files.
    const std::string other = table.name + ".lmdb";
    if (auto found = sys::stat(other)) {
      status = std::move(found);
      index = other;
    }
  }
  if (!status) {
    warnings.push_back(fmt::format("{}: table {}:{} does not exist; make it with \"{} {}:{}\"", place, table.type,
                                   printable(table.name), command, table.type, printable(table.name)));
    return;
  }
  const auto source = sys::stat(table.name);
  if (source && source->st_mtime > status->st_mtime) {
    warnings.push_back(
        fmt::format("{}: database {} is older than source file {}", place, printable(index), printable(table.name)));
  }
}

void check_tables(const config::Snapshot& config, const config::MasterCf& master, Warnings& warnings) {
  maps::OpenContext context;
  context.warn = [&](std::string_view line) { warnings.emplace_back(line); };
  const auto types = maps::types_with_modules(config, context);
  std::set<std::string> seen;
  const auto check_value = [&](std::string_view name, std::string_view value, const std::string& place) {
    const auto parameter = config::find_parameter(name);
    if (!parameter || parameter->type != config::Type::text || is_cache(name)) { return; }
    const auto expanded = config.expand_text(value);
    if (!expanded) { return; }
    for (const config::TableName& table : config::table_names(*expanded)) {
      if (!seen.insert(table.type + ":" + table.name).second) { continue; }
      if (types->find(table.type) == nullptr) {
        if (takes_tables(name) && config::table_parameters(table.type).empty()) {
          warnings.push_back(
              fmt::format("{}: unsupported dictionary type: {} (in {})", place, printable(table.type), name));
        }
        continue;
      }
      check_table(table, place, name.starts_with("alias_") ? "postalias" : "postmap", warnings);
    }
  };
  for (const std::string& name : config.names_set()) {
    check_value(name, config.raw(name), place_of(config.main_cf(), name));
  }
  for (const config::ServiceEntry& service : master.services) {
    for (const auto& [name, value] : service.overrides) {
      check_value(name, value, fmt::format("{}, line {}", master.file, service.line));
    }
  }
}

void check_certificates(const config::Snapshot& config, Warnings& warnings) {
  const auto is_set = [&](std::string_view prefix) {
    for (const std::string_view suffix :
         {"cert_file", "dcert_file", "eccert_file", "chain_files", "CAfile", "CApath"}) {
      const std::string name = fmt::format("{}{}", prefix, suffix);
      const auto value = config.find_text(name);
      if (value && !value->empty() && *value != "none" && config.is_set(name)) {
        return std::optional<std::string>(place_of(config.main_cf(), name));
      }
    }
    return std::optional<std::string>();
  };
  const auto report = [&](const std::string& place, const Error& error) {
    warnings.push_back(fmt::format("{}: {}", place, error.message()));
  };
  if (const auto place = is_set("smtpd_tls_")) {
    auto settings = tls::ServerSettings::from(config);
    if (!settings) {
      report(*place, settings.error());
    } else if (const auto context = tls::ServerContext::create(*std::move(settings)); !context) {
      report(*place, context.error());
    }
  }
  for (const std::string_view prefix : {"smtp", "lmtp"}) {
    const auto place = is_set(fmt::format("{}_tls_", prefix));
    if (!place) { continue; }
    if (const auto context = tls::ClientContext::from(config, prefix); !context) { report(*place, context.error()); }
  }
}

/// What the first decisive word of a restriction list does. Words that depend on the client or on a table decide
/// nothing.
enum class Outcome { open, permits, rejects };

Outcome outcome_of(const config::Snapshot& config, const std::set<std::string, std::less<>>& classes,
                   std::string_view list, std::size_t depth) {
  static constexpr std::string_view kRejects[] = {
      "reject",          "reject_unauth_destination", "defer",
      "defer_if_permit", "defer_unauth_destination",  "check_relay_domains"};
  for (const std::string& piece : config::split_list(list)) {
    std::string_view word = piece;
    if (word.starts_with('{') && word.ends_with('}')) { word = text::trim(word.substr(1, word.size() - 2)); }
    word = word.substr(0, word.find_first_of(" \t\r\n,"));
    if (std::ranges::any_of(kRejects, [&](std::string_view reject) { return text::iequals(word, reject); })) {
      return Outcome::rejects;
    }
    if (text::iequals(word, "permit")) { return Outcome::permits; }
    if (depth < kClassDepth && classes.contains(word)) {
      const Outcome inner = outcome_of(config, classes, config.find_text(word).value_or(""), depth + 1);
      if (inner != Outcome::open) { return inner; }
    }
  }
  return Outcome::open;
}

void check_relaying(const config::Snapshot& config, const config::MasterCf& master, Warnings& warnings) {
  constexpr std::string_view kText =
      "open relay: in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working "
      "instance of: reject_unauth_destination, defer_unauth_destination, reject, defer or defer_if_permit";
  std::set<std::string> places;
  for (const config::ServiceEntry& service : master.services) {
    if (service.command != "smtpd") { continue; }
    const auto own = config.with(service.overrides, false);
    // As they come from Postfix the lists are safe, and with an old compatibility_level left alone.
    if (!own || !is_open_relay(**own) ||
        !((*own)->is_set("smtpd_relay_restrictions") || (*own)->is_set("smtpd_recipient_restrictions"))) {
      continue;
    }
    const bool overridden = std::ranges::any_of(service.overrides, [](const auto& item) {
      return item.first == "smtpd_relay_restrictions" || item.first == "smtpd_recipient_restrictions";
    });
    places.insert(overridden ? fmt::format("{}, line {}", master.file, service.line)
                             : place_of(config.main_cf(), config.is_set("smtpd_relay_restrictions")
                                                              ? "smtpd_relay_restrictions"
                                                              : "smtpd_recipient_restrictions"));
  }
  for (const std::string& place : places) { warnings.push_back(fmt::format("{}: {}", place, kText)); }
  for (const std::string& network : config::split_list(config.find_text("mynetworks").value_or(""))) {
    if (network == "0.0.0.0/0" || network == "[::]/0" || network == "::/0") {
      warnings.push_back(fmt::format("{}: open relay: mynetworks has every address of the Internet ({})",
                                     place_of(config.main_cf(), "mynetworks"), network));
    }
  }
}

/// Files the C library reads while a process runs. A jail that was set up once has copies, which grow old.
void check_chroot(const config::Snapshot& config, const config::MasterCf& master, Warnings& warnings) {
  if (std::ranges::none_of(master.services, &config::ServiceEntry::chroot)) { return; }
  const std::string queue = config.find_text("queue_directory").value_or("");
  for (const std::string_view name : {"resolv.conf", "hosts", "services", "nsswitch.conf", "localtime"}) {
    const std::string system = fmt::format("/etc/{}", name);
    const std::string copy = queue + system;
    const auto jailed = sys::read_file(copy, kComparedBytes);
    if (!jailed) { continue; }  // read before the change of root, or not needed
    const auto original = sys::read_file(system, kComparedBytes);
    if (original && *original != *jailed) { warnings.push_back(fmt::format("{} and {} differ", copy, system)); }
  }
  struct stat status{};
  for (const config::ServiceEntry& service : master.services) {
    if (service.chroot && ::stat(queue.c_str(), &status) != 0) {
      warnings.push_back(fmt::format("{}, line {}: service {} is chrooted, and {} cannot be entered", master.file,
                                     service.line, service.key(), queue));
      return;
    }
  }
}

}  // namespace

bool is_open_relay(const config::Snapshot& config) {
  std::set<std::string, std::less<>> classes;
  for (std::string& name : config::split_list(config.find_text("smtpd_restriction_classes").value_or(""))) {
    classes.insert(std::move(name));
  }
  // Both lists have to permit, so one that rejects is enough.
  return std::ranges::none_of(
      std::initializer_list<std::string_view>{"smtpd_relay_restrictions", "smtpd_recipient_restrictions"},
      [&](std::string_view name) {
        return outcome_of(config, classes, config.find_text(name).value_or(""), 0) == Outcome::rejects;
      });
}

Warnings configuration_warnings(const config::Snapshot& config, const config::MasterCf& master) {
  Warnings warnings = config.warnings();
  warnings.insert(warnings.end(), config.problems().begin(), config.problems().end());
  warnings.insert(warnings.end(), master.warnings.begin(), master.warnings.end());
  check_names(config, master, warnings);
  check_tables(config, master, warnings);
  check_certificates(config, warnings);
  check_relaying(config, master, warnings);
  std::ranges::move(missing_programs(config, master), std::back_inserter(warnings));
  check_chroot(config, master, warnings);
  return warnings;
}

}  // namespace stagepost::postfix
