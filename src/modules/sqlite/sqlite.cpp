// sqlite: tables (sqlite_table(5)). Databases are opened for reading only; a file that was put in the place of another
// is picked up, one that is missing or locked for too long is a temporary failure.
#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <sqlite3.h>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "client_source.hpp"
#include "maps/module.hpp"
#include "query.hpp"
#include "sql_text.hpp"

namespace stagepost::maps {
namespace {

/// What another process may keep the database locked for, and what a query may take in all.
constexpr std::chrono::milliseconds kBusyTime{5'000};
constexpr std::chrono::seconds kQueryTime{20};
/// Steps of SQLite's machine between two looks at the clock.
constexpr int kStepsPerLook = 10'000;

struct Settings {
  std::string path;
  std::string source;
  sqlite::Statement statement;
  ResultRules result;
  std::string domains;
  std::chrono::milliseconds recheck_interval{1000};
};

struct CloseDatabase {
  void operator()(sqlite3* database) const { ::sqlite3_close_v2(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { ::sqlite3_finalize(statement); }
};

class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const Settings& settings) {
    SP_TRY(const struct stat status, sys::stat(settings.path));
    std::unique_ptr<Database> made(new Database(settings));
    made->device_ = status.st_dev;
    made->inode_ = status.st_ino;
    sqlite3* raw = nullptr;
    const int code =
        ::sqlite3_open_v2(settings.path.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    made->handle_.reset(raw);
    if (code != SQLITE_OK) { return made->broken("open", code); }
    (void)::sqlite3_extended_result_codes(raw, 1);
    (void)::sqlite3_busy_timeout(raw, static_cast<int>(kBusyTime.count()));
    ::sqlite3_progress_handler(raw, kStepsPerLook, too_late, &made->deadline_);
    return made;
  }

  /// Another file is at the path now. One that is gone has not changed.
  [[nodiscard]] bool replaced() {
    if (SteadyClock::now() < next_look_) { return false; }
    next_look_ = SteadyClock::now() + settings_.recheck_interval;
    const auto status = sys::stat(settings_.path);
    return status && (status->st_dev != device_ || status->st_ino != inode_);
  }

  /// `values` are those of the statement's parameters.
  Result<Found> find(const std::string& key, const std::vector<std::string>& values) {
    deadline_ = within(kQueryTime);
    SP_TRY(prepare());
    sqlite3_stmt* statement = statement_.get();
    // Also when it fails: locks of an unfinished statement stay otherwise.
    const std::unique_ptr<sqlite3_stmt, decltype(&::sqlite3_reset)> reset(statement, ::sqlite3_reset);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::string& value = values[i];
      const int code = ::sqlite3_bind_text(statement, static_cast<int>(i + 1), value.data(),
                                           static_cast<int>(value.size()), SQLITE_STATIC);
      if (code != SQLITE_OK) { return broken("query", code); }
    }
    ResultList results(settings_.result, key);
    for (;;) {
      const int code = ::sqlite3_step(statement);
      if (code == SQLITE_DONE) { break; }
      if (code != SQLITE_ROW) { return broken("query", code); }
      if (::sqlite3_column_count(statement) == 0) { continue; }
      const auto* text = reinterpret_cast<const char*>(::sqlite3_column_text(statement, 0));
      const auto size = static_cast<std::size_t>(::sqlite3_column_bytes(statement, 0));
      if (text != nullptr) { SP_TRY(results.add({text, size})); }
    }
    (void)::sqlite3_clear_bindings(statement);
    return results.take();
  }

 private:
  explicit Database(const Settings& settings)
      : settings_(settings), next_look_(SteadyClock::now() + settings.recheck_interval) {}

  static int too_late(void* deadline) { return static_cast<const Deadline*>(deadline)->passed() ? 1 : 0; }

  Result<> prepare() {
    if (statement_) { return {}; }
    const std::string& sql = settings_.statement.sql;
    sqlite3_stmt* raw = nullptr;
    const int code = ::sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                          SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    statement_.reset(raw);
    if (code != SQLITE_OK) { return broken("query", code); }
    if (raw == nullptr) { return failure(fmt::format("{}: query is empty", settings_.source)); }
    if (::sqlite3_stmt_readonly(raw) == 0) {
      statement_.reset();
      return failure(fmt::format("{}: query would change the database", settings_.source));
    }
    return {};
  }

  [[nodiscard]] std::unexpected<Error> broken(std::string_view what, int code) const {
    const char* reason = handle_ ? ::sqlite3_errmsg(handle_.get()) : ::sqlite3_errstr(code);
    return failure(fmt::format("{}: {}: {}", settings_.path, what, printable(std::string_view(reason))),
                   code == SQLITE_INTERRUPT ? std::errc::timed_out : std::errc::invalid_argument);
  }

  const Settings& settings_;
  std::unique_ptr<sqlite3, CloseDatabase> handle_;
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement_;  ///< goes before the database
  Deadline deadline_ = Deadline::never();
  SteadyClock::time_point next_look_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

class SqliteConnection final : public BlockingConnection {
 public:
  SqliteConnection(const Settings& settings, std::unique_ptr<Database> database)
      : settings_(settings), database_(std::move(database)) {}

  Result<Found> find(const std::string& key) override {
    const KeyParts parts(key);
    if (!settings_.result.format().key_suffices(parts)) { return Found{}; }
    std::vector<std::string> values;
    for (const Template& parameter : settings_.statement.parameters) {
      SP_TRY(auto value, parameter.query(parts, [](std::string_view part) { return std::string(part); }));
      if (!value) { return Found{}; }
      values.push_back(*std::move(value));
    }
    if (database_->replaced()) {
      // The old one stays in use until the new one can be opened.
      if (auto opened = Database::open(settings_)) { database_ = *std::move(opened); }
    }
    auto found = database_->find(key, values);
    usable_ = found.has_value();
    return found;
  }

  /// After a failure the database is opened anew: the file may have been damaged, or mended.
  [[nodiscard]] bool usable() const override { return usable_; }

 private:
  const Settings& settings_;
  std::unique_ptr<Database> database_;
  bool usable_ = true;
};

class SqliteClient final : public BlockingClient {
 public:
  explicit SqliteClient(Settings settings) : settings_(std::move(settings)) {
    // Now, because the process may have another root directory later. A file that is missing is looked for later too.
    for (std::size_t i = 0; i < limits().connections; ++i) {
      if (auto opened = Database::open(settings_)) { opened_.push_back(*std::move(opened)); }
    }
  }

  std::string key_domains() const override { return settings_.domains; }
  /// A database that is open costs little.
  Limits limits() const override { return {.idle = std::chrono::hours(24)}; }

  Result<std::unique_ptr<BlockingConnection>> connect() const override {
    std::unique_ptr<Database> database;
    {
      const std::lock_guard lock(mutex_);
      if (!opened_.empty()) {
        database = std::move(opened_.back());
        opened_.pop_back();
      }
    }
    if (!database) { SP_TRY(database, Database::open(settings_)); }
    return std::make_unique<SqliteConnection>(settings_, std::move(database));
  }

 private:
  Settings settings_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Database>> opened_;
};

/// `query`, or what sqlite_table(5) makes of the settings that it replaced.
Result<std::string> query_of(const ClientSource& source) {
  if (const auto query = source.find("query"); query && !query->empty()) { return *query; }
  SP_TRY(const std::string table, source.required_text("table"));
  SP_TRY(const std::string select, source.required_text("select_field"));
  SP_TRY(const std::string where, source.required_text("where_field"));
  return fmt::format("SELECT {} FROM {} WHERE {} = '%s' {}", select, table, where,
                     source.text("additional_conditions"));
}

Result<std::shared_ptr<const BlockingClient>> connect(std::string_view name, const ModuleContext& context) {
  if (context.access == Access::write) { return failure("sqlite tables can only be read"); }
  SP_TRY(const ClientSource source, ClientSource::open(name, context));
  Settings settings;
  settings.source = source.name();
  settings.recheck_interval = context.recheck_interval;
  SP_TRY(settings.path, source.required_text("dbpath"));
  SP_TRY(const std::string query, query_of(source));
  SP_TRY(settings.statement, sqlite::bind_template(query, source.name()));
  if (settings.statement.has_double_quotes) {
    context.warn(fmt::format("{}: query has double quotes around a part of the key: use single quotes", source.name()));
  }
  SP_TRY(settings.result, ResultRules::read(source));
  settings.domains = source.text("domain");
  return std::make_shared<const SqliteClient>(std::move(settings));
}

constexpr std::array<ModuleType, 1> kTypes{{{.type = "sqlite", .connect = connect}}};

}  // namespace
}  // namespace stagepost::maps

const stagepost::maps::Module stagepost_table_module{.types = stagepost::maps::kTypes};
