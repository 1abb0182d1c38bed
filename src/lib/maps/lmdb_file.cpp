// See lmdb_file.hpp.
#include "maps/lmdb_file.hpp"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <lmdb.h>

#include "base/defer.hpp"
#include "base/sys.hpp"
#include "maps/entry_buffer.hpp"
#include "maps/file_replacement.hpp"
#include "maps/lmdb_reader.hpp"
#include "maps/stored_key.hpp"
#include "maps/watched_file.hpp"

namespace stagepost::maps {
namespace {

constexpr unsigned kCommonFlags = MDB_NOSUBDIR | MDB_NOLOCK;
constexpr std::chrono::seconds kReaderLockWait{5};
constexpr std::size_t kRoomyMapBytes = std::size_t{1} << 36U;
/// LMDB stores no longer keys; its default build option.
constexpr std::size_t kStoredKeyLimit = 511;
constexpr std::size_t kMapSizeLimit = std::size_t{1} << 40U;

/// LMDB's own codes carry its text; the others are errno values.
std::unexpected<Error> lmdb_failure(int code, const std::string& context) {
  if (code > 0) { return errno_failure(code, context); }
  return failure(context + ": " + ::mdb_strerror(code));
}

struct EnvClose {
  void operator()(MDB_env* env) const { ::mdb_env_close(env); }
};
using Env = std::unique_ptr<MDB_env, EnvClose>;

struct TxnAbort {
  void operator()(MDB_txn* txn) const { ::mdb_txn_abort(txn); }
};
using Txn = std::unique_ptr<MDB_txn, TxnAbort>;

MDB_val value_of(std::string_view bytes) {
  // LMDB does not write through mv_data of keys and of values that are put.
  return {.mv_size = bytes.size(), .mv_data = const_cast<char*>(bytes.data())};
}

Result<Env> open_env(const std::string& path, unsigned flags, std::size_t map_size_bytes, mode_t mode) {
  MDB_env* raw = nullptr;
  if (const int code = ::mdb_env_create(&raw); code != MDB_SUCCESS) {
    return lmdb_failure(code, "open database " + path);
  }
  Env env(raw);
  if (const int code = ::mdb_env_set_mapsize(raw, map_size_bytes); code != MDB_SUCCESS) {
    return lmdb_failure(code, "open database " + path);
  }
  if (const int code = ::mdb_env_open(raw, path.c_str(), kCommonFlags | flags, mode); code != MDB_SUCCESS) {
    return lmdb_failure(code, "open database " + path);
  }
  return env;
}

class LmdbTable final : public Table {
 public:
  static Result<std::unique_ptr<Table>> open(std::string full_name, const std::string& path,
                                             const OpenContext& context) {
    WatchedFile file(path, context.recheck_interval);
    SP_TRY(LmdbReader reader, open_reader(path));
    SP_TRY(file.note());
    return std::unique_ptr<Table>(new LmdbTable(std::move(full_name), std::move(file), std::move(reader), context));
  }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    reopen_if_replaced();
    return key_.look_up(key, [this](std::string_view stored) -> Result<Found> {
      if (stored.empty() || stored.size() > kStoredKeyLimit) { return Found{}; }
      return reader_.find(stored);
    });
  }

  Result<> each(const Visit& visit) override {
    reopen_if_replaced();
    SP_TRY(lock_file(reader_.fd(), LockStyle::fcntl, false, kReaderLockWait, file_.path()));
    const Defer unlock([&] { unlock_file(reader_.fd(), LockStyle::fcntl); });
    return reader_.each(
        [&](std::string_view key, std::string_view value) { return visit(without_nul(key), without_nul(value)); });
  }

  net::Task<Result<>> put(std::string key, std::string value) override {
    const auto stored =
        change([&](LmdbWriter& writer) { return writer.put(key, value, TableWriter::Existing::overwrite); });
    if (!stored) { co_return std::unexpected(stored.error()); }
    co_return Result<>{};
  }

  net::Task<Result<bool>> erase(std::string key) override {
    co_return change([&](LmdbWriter& writer) { return writer.erase(key); });
  }

 private:
  LmdbTable(std::string full_name, WatchedFile file, LmdbReader reader, const OpenContext& context)
      : Table(std::move(full_name), KeyKind::fixed),
        file_(std::move(file)),
        reader_(std::move(reader)),
        context_(context) {}

  static Result<LmdbReader> open_reader(const std::string& path) {
    auto fd = sys::open(path, O_RDONLY);
    if (!fd) { return errno_failure(fd.error().code.value(), "open database " + path); }
    SP_TRY(const struct stat status, sys::fstat(fd->get()));
    if (S_ISDIR(status.st_mode)) { return errno_failure(EISDIR, "open database " + path); }
    if (!S_ISREG(status.st_mode)) { return failure("open database " + path + ": not a regular file"); }
    return LmdbReader::open(*std::move(fd), path);
  }

  template <class Action>
  Result<bool> change(Action action) {
    SP_TRY(auto writer, LmdbWriter::open(file_.path(), {.mode = TableWriter::Mode::update,
                                                        .map_size_bytes = context_.lmdb_map_size_bytes,
                                                        .nul = context_.nul}));
    SP_TRY(const bool done, action(*writer));
    SP_TRY(writer->commit());
    return done;
  }

  /// Changes made in place are seen at each lookup; only another file at the path has to be opened.
  void reopen_if_replaced() {
    if (!file_.changed()) { return; }
    const auto at_path = sys::stat(file_.path());
    const auto opened = sys::fstat(reader_.fd());
    const bool same = at_path && opened && at_path->st_ino == opened->st_ino && at_path->st_dev == opened->st_dev;
    if (!same) {
      auto fresh = open_reader(file_.path());
      if (fresh) {
        reader_ = *std::move(fresh);
        key_.forget();
      } else {
        context_.warning(unreadable_change(name(), fresh.error()));
      }
    }
    (void)file_.note();
  }

  WatchedFile file_;
  LmdbReader reader_;
  OpenContext context_;
  StoredKey key_{context_.nul, TrailingNul::with};
};

Result<std::unique_ptr<Table>> open_table(const std::string& type, std::string_view name, const OpenContext& context) {
  const std::string path = std::string(name) + ".lmdb";
  const auto status = sys::stat(path);
  if (!status) {
    const int code = status.error().code.value();
    if (code == ENOENT && type != "lmdb") {
      return errno_failure(code, fmt::format("open database {} (here {} tables are LMDB files: run \"postmap {}:{}\")",
                                             path, type, type, name));
    }
    return errno_failure(code, "open database " + path);
  }
  return LmdbTable::open(fmt::format("{}:{}", type, name), path, context);
}

}  // namespace

TableType lmdb_type() { return lmdb_type_named("lmdb"); }

TableType lmdb_type_named(std::string type) {
  return {
      .open = [type = std::move(type)](std::string_view name,
                                       const OpenContext& context) { return open_table(type, name, context); },
      .write = [](std::string_view name, const TableWriter::Options& options) -> Result<std::unique_ptr<TableWriter>> {
        return LmdbWriter::open(std::string(name) + ".lmdb", options);
      },
      .file_suffix = ".lmdb"};
}

struct LmdbWriter::State {
  struct Operation {
    enum class Kind : std::uint8_t { put_new, put_over, erase };
    Kind kind;
    std::string key;
    std::string value;
  };

  explicit State(FileReplacement replacement) : file(std::move(replacement)) {}

  FileReplacement file;
  Options options;
  std::size_t map_size_bytes = 0;
  Env env;
  Txn txn;
  MDB_dbi dbi = 0;
  bool repeatable = true;
  std::vector<Operation> done;         ///< if repeatable: to be repeated when the map must grow
  std::optional<EntryBuffer> entries;  ///< of a new file, which commit() writes in key order
  bool clear = false;                  ///< in place of a new file: the transaction starts by dropping all entries

  ~State() {
    txn.reset();
    env.reset();
  }

  std::string what() const { return "error updating " + file.path(); }

  Result<> begin() {
    MDB_txn* raw = nullptr;
    int code = ::mdb_txn_begin(env.get(), nullptr, 0, &raw);
    if (code == MDB_MAP_RESIZED) {
      code = ::mdb_env_set_mapsize(env.get(), 0);
      code = code == MDB_SUCCESS ? ::mdb_txn_begin(env.get(), nullptr, 0, &raw) : code;
    }
    if (code != MDB_SUCCESS) { return lmdb_failure(code, what()); }
    txn.reset(raw);
    code = ::mdb_dbi_open(raw, nullptr, 0, &dbi);
    if (code == MDB_SUCCESS && clear) { code = ::mdb_drop(raw, dbi, 0); }
    return code == MDB_SUCCESS ? Result<>{} : Result<>(lmdb_failure(code, what()));
  }

  int run(const Operation& operation) {
    MDB_val key = value_of(operation.key);
    if (operation.kind == Operation::Kind::erase) { return ::mdb_del(txn.get(), dbi, &key, nullptr); }
    MDB_val value = value_of(operation.value);
    return ::mdb_put(txn.get(), dbi, &key, &value,
                     operation.kind == Operation::Kind::put_new ? unsigned{MDB_NOOVERWRITE} : 0U);
  }

  /// Starts the transaction over in a map twice as large and repeats what was done.
  Result<> grow() {
    for (;;) {
      txn.reset();
      MDB_envinfo info{};
      ::mdb_env_info(env.get(), &info);
      map_size_bytes = std::max(map_size_bytes, info.me_mapsize) * 2;
      if (!repeatable || map_size_bytes > kMapSizeLimit) { return lmdb_failure(MDB_MAP_FULL, what()); }
      if (const int code = ::mdb_env_set_mapsize(env.get(), map_size_bytes); code != MDB_SUCCESS) {
        return lmdb_failure(code, what());
      }
      SP_TRY(begin());
      int code = MDB_SUCCESS;
      for (const Operation& operation : done) {
        if (code = run(operation); code != MDB_SUCCESS) { break; }
      }
      if (code != MDB_MAP_FULL && code != MDB_SUCCESS) { return lmdb_failure(code, what()); }
      if (code == MDB_SUCCESS) { return {}; }
    }
  }

  /// Of a new file.
  Result<> write_entries() {
    MDB_cursor* cursor = nullptr;
    int code = ::mdb_cursor_open(txn.get(), dbi, &cursor);
    if (code == MDB_SUCCESS) {
      code = entries->each_sorted([&](std::string_view key, std::string_view value) {
        MDB_val stored_key = value_of(key);
        MDB_val stored_value = value_of(value);
        return ::mdb_cursor_put(cursor, &stored_key, &stored_value, MDB_APPEND);
      });
      ::mdb_cursor_close(cursor);
    }
    return code == MDB_SUCCESS ? Result<>{} : Result<>(lmdb_failure(code, what()));
  }

  /// True when it took effect, false for "already there" and "not there".
  Result<bool> apply(Operation operation) {
    if (entries) {
      if (operation.kind == Operation::Kind::erase) { return entries->erase(operation.key); }
      if (operation.key.empty() || operation.key.size() > kStoredKeyLimit) {
        return lmdb_failure(MDB_BAD_VALSIZE, what());
      }
      return entries->put(operation.key, operation.value, operation.kind == Operation::Kind::put_over);
    }
    for (;;) {
      const int code = run(operation);
      if (code == MDB_SUCCESS) {
        if (repeatable) { done.push_back(std::move(operation)); }
        return true;
      }
      if (code == MDB_KEYEXIST || code == MDB_NOTFOUND) { return false; }
      if (code != MDB_MAP_FULL) { return lmdb_failure(code, what()); }
      SP_TRY(grow());
    }
  }

  std::string stored(std::string_view bytes) const {
    std::string result(bytes);
    if (options.nul != TrailingNul::without) { result.push_back('\0'); }
    return result;
  }
};

LmdbWriter::LmdbWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
LmdbWriter::~LmdbWriter() = default;

Result<std::unique_ptr<LmdbWriter>> LmdbWriter::open(const std::string& path, const Options& options) {
  SP_TRY(FileReplacement file, FileReplacement::open(path, options, LockStyle::fcntl));
  auto state = std::make_unique<State>(std::move(file));
  state->options = options;
  state->map_size_bytes = options.map_size_bytes;
  // One transaction replaces the content where no new file can be made.
  state->clear = options.mode == Mode::replace && state->file.in_place();
  if (!state->file.in_place()) {
    // Address space costs nothing; the file is as large as what is in it. It is synced as a whole in the end.
    auto roomy = open_env(state->file.working_path(), MDB_NOSYNC, std::max(kRoomyMapBytes, options.map_size_bytes),
                          options.file_mode);
    if (roomy) {
      state->env = *std::move(roomy);
      state->repeatable = false;
      state->entries.emplace(options.expected_entries);
    }
  }
  if (!state->env) {
    SP_TRY(state->env, open_env(state->file.working_path(), 0, state->map_size_bytes, options.file_mode));
  }
  SP_TRY(state->begin());
  return std::unique_ptr<LmdbWriter>(new LmdbWriter(std::move(state)));
}

Result<bool> LmdbWriter::put(std::string_view key, std::string_view value, Existing existing) {
  return put_raw(state_->stored(key), state_->stored(value), existing);
}

Result<bool> LmdbWriter::put_raw(std::string_view key, std::string_view value, Existing existing) {
  using Kind = State::Operation::Kind;
  return state_->apply(
      {existing == Existing::overwrite ? Kind::put_over : Kind::put_new, std::string(key), std::string(value)});
}

Result<bool> LmdbWriter::erase(std::string_view key) {
  for (const bool with_nul : {true, false}) {
    if ((with_nul && state_->options.nul == TrailingNul::without) ||
        (!with_nul && state_->options.nul == TrailingNul::with)) {
      continue;
    }
    std::string stored(key);
    if (with_nul) { stored.push_back('\0'); }
    if (stored.empty() || stored.size() > static_cast<std::size_t>(::mdb_env_get_maxkeysize(state_->env.get()))) {
      continue;
    }
    SP_TRY(const bool erased, state_->apply({State::Operation::Kind::erase, std::move(stored), {}}));
    if (erased) { return true; }
  }
  return false;
}

Result<> LmdbWriter::commit() {
  if (state_->entries) { SP_TRY(state_->write_entries()); }
  for (;;) {
    const int code = ::mdb_txn_commit(state_->txn.release());
    if (code == MDB_SUCCESS) { break; }
    if (code != MDB_MAP_FULL) { return lmdb_failure(code, state_->what()); }
    SP_TRY(state_->grow());
  }
  state_->env.reset();
  return state_->file.commit();
}

}  // namespace stagepost::maps
