// Table types in loadable modules (dynamicmaps.cf, shlib_directory), so that the programs link no heavy client library.
// A module is a shared object that exports `stagepost_table_module`; module_loading.hpp finds and checks it. The border
// is C++, so a module must come from the same build as the program: kModuleBuild says whether it does.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "maps/blocking_client.hpp"
#include "maps/lookup.hpp"
#include "maps/table_writer.hpp"

namespace stagepost::maps {

/// Counts up with each change of what crosses the border: this header, blocking_client.hpp, table_writer.hpp and
/// lookup.hpp.
inline constexpr std::uint32_t kModuleAbi = 2;
/// Compilers that disagree about these would disagree about std::string as well.
inline constexpr std::string_view kModuleBuild = __VERSION__;

/// Another table that a module's table asks (memcache's backup, the domains a query is for), opened by the program. May
/// be used on any thread; its calls are made one after the other, and wait for the answer.
class NestedTable {
 public:
  NestedTable() = default;
  NestedTable(const NestedTable&) = delete;
  NestedTable& operator=(const NestedTable&) = delete;
  virtual ~NestedTable() = default;

  [[nodiscard]] virtual Result<Found> find(const std::string& key) = 0;
  /// put, erase: opened with Access::write only.
  [[nodiscard]] virtual Result<> put(const std::string& key, const std::string& value) = 0;
  [[nodiscard]] virtual Result<bool> erase(const std::string& key) = 0;
  [[nodiscard]] virtual Result<> each(const Visit& visit) = 0;
};

/// What a module gets from the program.
struct ModuleContext {
  Access access = Access::read;
  TrailingNul nul = TrailingNul::either;
  /// A table file is looked at (stat) at most this often.
  std::chrono::milliseconds recheck_interval{1000};
  std::size_t source_limit_bytes = 512U << 20U;  ///< a larger text file is an error
  /// One log line (level warning), without newline. May be called on any thread.
  std::function<void(std::string_view)> warn;
  /// The value of a main.cf parameter or name, expanded; nullopt when it is not set (`ldapname_server_host`).
  std::function<std::optional<std::string>(std::string_view)> parameter;
  /// Opens "type:name". Call it while the table itself is opened: later the process may have another root directory.
  /// A table that cannot be opened then fails its lookups, as it does for the program's own; Error only when tables
  /// are nested too deeply (a table whose configuration names itself).
  std::function<Result<std::shared_ptr<NestedTable>>(std::string_view type_and_name, Access access)> open_table;
};

/// A table that answers at once: an embedded file.
class ModuleTable {
 public:
  ModuleTable() = default;
  ModuleTable(const ModuleTable&) = delete;
  ModuleTable& operator=(const ModuleTable&) = delete;
  virtual ~ModuleTable() = default;
  /// `key` is folded and checked already.
  [[nodiscard]] virtual Result<Found> find(std::string_view key) = 0;
  [[nodiscard]] virtual Result<> each(const Visit& visit) = 0;
};

/// One table type: exactly one of `open` and `connect`, and `write` when postmap can build it. `name` is what follows
/// "type:".
struct ModuleType {
  std::string_view type;
  Result<std::unique_ptr<ModuleTable>> (*open)(std::string_view name, const ModuleContext& context) = nullptr;
  Result<std::shared_ptr<const BlockingClient>> (*connect)(std::string_view name,
                                                           const ModuleContext& context) = nullptr;
  Result<std::unique_ptr<TableWriter>> (*write)(std::string_view name, const TableWriter::Options& options) = nullptr;
  /// With `write`: what is added to the table's name to get its file's (".db").
  std::string_view file_suffix = {};
};

struct Module {
  std::uint32_t abi = kModuleAbi;
  std::string_view build = kModuleBuild;
  std::span<const ModuleType> types;
};

}  // namespace stagepost::maps

/// What a module defines. Visible, unlike everything else in it.
extern "C" __attribute__((visibility("default"))) const stagepost::maps::Module stagepost_table_module;
