// See module_loading.hpp.
#include "maps/module_loading.hpp"

#include <algorithm>
#include <array>
#include <dlfcn.h>
#include <sys/stat.h>
#include <vector>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "maps/blocking_table.hpp"
#include "maps/key_domains.hpp"
#include "maps/lmdb_file.hpp"
#include "maps/module.hpp"
#include "maps/nested_table.hpp"
#include "maps/proxy_table.hpp"
#include "maps/shared_object.hpp"

namespace stagepost::maps {
namespace {

constexpr std::size_t kListLimitBytes = 1U << 20U;

/// Modules of ours, which need no line in dynamicmaps.cf. The names are those of Debian's Postfix modules where there
/// is one, so that a dynamicmaps.cf written for those fits.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kOwnModules{{
    {"btree", "postfix-bdb.so"},
    {"hash", "postfix-bdb.so"},
    {"ldap", "postfix-ldap.so"},
    {"memcache", "postfix-memcache.so"},
    {"mongodb", "postfix-mongodb.so"},
    {"mysql", "postfix-mysql.so"},
    {"pgsql", "postfix-pgsql.so"},
    {"redis", "postfix-redis.so"},
    {"sqlite", "postfix-sqlite.so"},
}};

/// What is going to run in this process belongs to root, as does what names it; a suite that was installed by somebody
/// else may use what belongs to them. As Postfix, nobody else may write it.
Result<> check_owner(const std::string& path) {
  SP_TRY(const struct stat status, sys::stat(path));
  const auto program = sys::stat("/proc/self/exe");
  const bool of_installer = program && program->st_uid != 0 && program->st_uid == status.st_uid;
  const mode_t forbidden = of_installer ? S_IWOTH : S_IWGRP | S_IWOTH;
  if ((status.st_uid != 0 && !of_installer) || (status.st_mode & forbidden) != 0) {
    return failure(fmt::format("{}: file is owned or writable by non-root users", path), std::errc::permission_denied);
  }
  return {};
}

/// A module stays loaded: its code answers until the process ends. Loading it again costs a name comparison.
Result<const Module*> load_module(const std::string& path) {
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (handle == nullptr) {
    SP_TRY(check_owner(path));
    if (auto whole = check_shared_object(path); !whole) {
      whole.error().context.insert(0, "load module ");
      return std::unexpected(std::move(whole).error());
    }
    handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  }
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    return failure(fmt::format("load module {}: {}", path, reason != nullptr ? reason : "unknown error"));
  }
  const auto* module = static_cast<const Module*>(::dlsym(handle, "stagepost_table_module"));
  if (module == nullptr) { return failure(fmt::format("{} is not a table module of this program", path)); }
  if (module->abi != kModuleAbi || module->build != kModuleBuild) {
    return failure(fmt::format("module {} was built for another version of this program", path));
  }
  return module;
}

Result<const ModuleType*> find_type(const std::string& path, std::string_view type) {
  SP_TRY(const Module* module, load_module(path));
  const auto found = std::ranges::find(module->types, type, &ModuleType::type);
  if (found == module->types.end()) { return failure(fmt::format("module {} has no type {}", path, type)); }
  return &*found;
}

/// A ModuleTable as a Table.
class FileModuleTable final : public Table {
 public:
  FileModuleTable(std::string name, std::unique_ptr<ModuleTable> table)
      : Table(std::move(name), KeyKind::fixed), table_(std::move(table)) {}
  std::optional<Result<Found>> find_now(std::string_view key) override { return table_->find(key); }
  Result<> each(const Visit& visit) override { return table_->each(visit); }

 private:
  std::unique_ptr<ModuleTable> table_;
};

ModuleContext module_context(const OpenContext& context) {
  const auto nothing = [](std::string_view) -> std::optional<std::string> { return std::nullopt; };
  return {.access = context.access,
          .nul = context.nul,
          .recheck_interval = context.recheck_interval,
          .source_limit_bytes = context.source_limit_bytes,
          .warn = context.warn ? context.warn : [](std::string_view) {},
          .parameter = context.parameter ? context.parameter : nothing,
          .open_table = nested_table_opener(context)};
}

/// Known before the module is loaded: types whose tables can be changed one entry at a time, and those that cannot.
constexpr std::array<std::string_view, 2> kStores{"memcache", "redis"};
constexpr std::array<std::string_view, 5> kDirectories{"ldap", "mongodb", "mysql", "pgsql", "sqlite"};

/// `suffix` is known before the module is loaded: postmap asks for the rights of the file's owner first.
TableType module_type(const std::string& type, const std::string& path) {
  TableType how;
  how.open = [type, path](std::string_view name, const OpenContext& context) -> Result<std::unique_ptr<Table>> {
    SP_TRY(const ModuleType* found, find_type(path, type));
    std::string full_name = fmt::format("{}:{}", type, name);
    if (found->connect != nullptr) {
      SP_TRY(auto client, found->connect(name, module_context(context)));
      const std::string domains = client->key_domains();
      std::unique_ptr<Table> table = std::make_unique<BlockingTable>(std::move(full_name), std::move(client),
                                                                     context.may_block ? nullptr : context.loop);
      if (domains.empty()) { return table; }
      return only_key_domains(std::move(table), domains, context);
    }
    SP_TRY(auto table, found->open(name, module_context(context)));
    return std::make_unique<FileModuleTable>(std::move(full_name), std::move(table));
  };
  if (type == "hash" || type == "btree") {
    how.file_suffix = ".db";
    how.label = TableType::Label::file;
    how.write = [type, path](std::string_view name,
                             const TableWriter::Options& options) -> Result<std::unique_ptr<TableWriter>> {
      SP_TRY(const ModuleType* found, find_type(path, type));
      if (found->write == nullptr) { return failure(fmt::format("module {} cannot write {} tables", path, type)); }
      return found->write(name, options);
    };
    return how;
  }
  how.takes_entries = std::ranges::find(kStores, type) != kStores.end();
  how.read_only = std::ranges::find(kDirectories, type) != kDirectories.end();
  return how;
}

bool is_table_list(std::string_view name) {
  return !name.starts_with('.') && !name.ends_with('~') && !name.contains(".dpkg-") && !name.contains(".rpm");
}

void warn_of_duplicate(std::string_view file, std::string_view type, const OpenContext& context) {
  context.warning(fmt::format("{}: ignoring duplicate entry for \"{}\"", file, type));
}

/// dynamicmaps.cf, then what lies in dynamicmaps.cf.d/ by name. The first line about a type counts.
ModulePaths configured_modules(const config::Snapshot& config, const OpenContext& context) {
  const std::string base = config.text("meta_directory") + "/dynamicmaps.cf";
  std::vector<std::string> files{base};
  if (auto names = sys::list_directory(base + ".d")) {
    std::ranges::sort(*names);
    for (const std::string& name : *names) {
      if (is_table_list(name)) { files.push_back(fmt::format("{}.d/{}", base, name)); }
    }
  }
  ModulePaths all;
  for (const std::string& file : files) {
    const auto text = sys::read_file(file, kListLimitBytes);
    if (!text) {
      if (!text.error().is(std::errc::no_such_file_or_directory)) { context.warning(text.error().message()); }
      continue;
    }
    if (const auto checked = check_owner(file); !checked) {
      context.warning(fmt::format("{} -- skipping this file", checked.error().context));
      continue;
    }
    for (auto& [type, path] : parse_dynamicmaps(file, *text, config.text("shlib_directory"), context)) {
      if (!all.try_emplace(type, path).second) { warn_of_duplicate(file, type, context); }
    }
  }
  return all;
}

}  // namespace

ModulePaths parse_dynamicmaps(std::string_view file, std::string_view text, const std::string& shlib_directory,
                              const OpenContext& context) {
  ModulePaths paths;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text::trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line.starts_with('#')) { continue; }
    const auto words = text::split(line, " \t\r");
    if (words.size() < 3 || words.size() > 4) {
      context.warning(
          fmt::format("{}, line {}: expected \"dict-type .so-name dict-function [mkmap-function]\"", file, number));
      continue;
    }
    if (!std::ranges::all_of(words[0], [](char c) { return text::is_alnum(c) || c == '_' || c == '-'; })) {
      context.warning(
          fmt::format("{}, line {}: unsupported dictionary type name: {}", file, number, printable(words[0])));
      continue;
    }
    const std::string path =
        words[1].starts_with('/') ? std::string(words[1]) : fmt::format("{}/{}", shlib_directory, words[1]);
    if (!paths.try_emplace(std::string(words[0]), path).second) { warn_of_duplicate(file, words[0], context); }
  }
  return paths;
}

std::shared_ptr<const Registry> types_with_modules(const config::Snapshot& config, const OpenContext& context) {
  auto registry = std::make_shared<Registry>(*Registry::built_in());
  const std::string& shlib_directory = config.text("shlib_directory");
  ModulePaths paths;
  if (shlib_directory != "no") {
    for (const auto& [type, file] : kOwnModules) {
      std::string path = fmt::format("{}/{}", shlib_directory, file);
      if (sys::stat(path)) { paths.insert_or_assign(std::string(type), std::move(path)); }
    }
  }
  for (auto& [type, path] : configured_modules(config, context)) { paths.insert_or_assign(type, path); }
  for (const auto& [type, path] : paths) {
    if (Registry::built_in()->find(type) == nullptr) { registry->add(type, module_type(type, path)); }
  }
  registry->add("proxy", proxy_type(config));
  for (const char* type : {"btree", "hash"}) {
    if (registry->find(type) == nullptr) { registry->add(type, lmdb_type_named(type)); }
  }
  return registry;
}

void preload_modules(const config::Snapshot& config, const OpenContext& context) {
  ModulePaths paths;
  const std::string& shlib_directory = config.text("shlib_directory");
  for (const auto& [type, file] : kOwnModules) {
    paths.insert_or_assign(std::string(type), fmt::format("{}/{}", shlib_directory, file));
  }
  for (auto& [type, path] : configured_modules(config, context)) { paths.insert_or_assign(type, path); }
  std::vector<std::string> values;
  for (const std::string& name : config.names_set()) { values.push_back(config.find_text(name).value_or("")); }
  for (const auto& [type, path] : paths) {
    if (Registry::built_in()->find(type) != nullptr) { continue; }
    const std::string wanted = type + ":";
    if (std::ranges::any_of(values, [&](const std::string& value) { return value.contains(wanted); })) {
      (void)load_module(path);
    }
  }
}

}  // namespace stagepost::maps
