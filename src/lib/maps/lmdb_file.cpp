// See lmdb_file.hpp.
#include "maps/lmdb_file.hpp"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <libgen.h>
#include <optional>
#include <thread>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <lmdb.h>

#include "base/defer.hpp"
#include "base/sys.hpp"
#include "maps/watched_file.hpp"

namespace stagepost::maps {
namespace {

constexpr unsigned kCommonFlags = MDB_NOSUBDIR | MDB_NOLOCK;
constexpr std::chrono::seconds kReaderLockWait{5};
constexpr std::chrono::seconds kWriterLockWait{600};
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
std::string_view bytes_of(const MDB_val& value) { return {static_cast<const char*>(value.mv_data), value.mv_size}; }

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

int env_fd(MDB_env* env) {
  int fd = -1;
  ::mdb_env_get_fd(env, &fd);
  return fd;
}

/// Whole-file lock that works against the fcntl locks of Postfix, and is not lost when another descriptor of the same
/// file is closed in this process.
Result<> lock_file(int fd, short type, std::chrono::milliseconds wait, const std::string& path) {
  struct flock request{};
  request.l_type = type;
  request.l_whence = SEEK_SET;
  const auto give_up = std::chrono::steady_clock::now() + wait;
  for (;;) {
    if (::fcntl(fd, F_OFD_SETLK, &request) == 0) { return {}; }
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) { return errno_failure("lock " + path); }
    if (std::chrono::steady_clock::now() >= give_up) {
      return failure("lock " + path + ": another process is writing it", std::errc::timed_out);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void unlock_file(int fd) {
  struct flock request{};
  request.l_type = F_UNLCK;
  request.l_whence = SEEK_SET;
  (void)::fcntl(fd, F_OFD_SETLK, &request);
}

std::string_view without_nul(std::string_view bytes) {
  return bytes.ends_with('\0') ? bytes.substr(0, bytes.size() - 1) : bytes;
}

class LmdbTable final : public Table {
 public:
  LmdbTable(std::string full_name, WatchedFile file, std::size_t map_size_bytes, TrailingNul nul, Env env)
      : Table(std::move(full_name), KeyKind::fixed),
        file_(std::move(file)),
        map_size_bytes_(map_size_bytes),
        nul_(nul),
        env_(std::move(env)) {}

  std::optional<Result<Found>> find_now(std::string_view key) override {
    reopen_if_replaced();
    return with_transaction<Found>([&](MDB_txn* txn, MDB_dbi dbi) { return look_up(txn, dbi, key); });
  }

  Result<> each(const Visit& visit) override {
    reopen_if_replaced();
    const auto walked = with_transaction<bool>([&](MDB_txn* txn, MDB_dbi dbi) -> Result<bool> {
      MDB_cursor* cursor = nullptr;
      if (const int code = ::mdb_cursor_open(txn, dbi, &cursor); code != MDB_SUCCESS) {
        return lmdb_failure(code, "read " + file_.path());
      }
      const Defer close([&] { ::mdb_cursor_close(cursor); });
      MDB_val key{};
      MDB_val value{};
      int code = ::mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
      for (; code == MDB_SUCCESS; code = ::mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        SP_TRY(visit(without_nul(bytes_of(key)), without_nul(bytes_of(value))));
      }
      if (code != MDB_NOTFOUND) { return lmdb_failure(code, "read " + file_.path()); }
      return true;
    });
    return walked ? Result<>{} : Result<>(std::unexpected(walked.error()));
  }

 private:
  /// Runs `action` in a read transaction under the shared lock, once more after another process has grown the file.
  template <class T, class Action>
  Result<T> with_transaction(Action action) {
    const int fd = env_fd(env_.get());
    SP_TRY(lock_file(fd, F_RDLCK, kReaderLockWait, file_.path()));
    const Defer unlock([&] { unlock_file(fd); });
    MDB_txn* raw = nullptr;
    int code = ::mdb_txn_begin(env_.get(), nullptr, MDB_RDONLY, &raw);
    if (code == MDB_MAP_RESIZED) {
      code = ::mdb_env_set_mapsize(env_.get(), 0);
      code = code == MDB_SUCCESS ? ::mdb_txn_begin(env_.get(), nullptr, MDB_RDONLY, &raw) : code;
    }
    if (code != MDB_SUCCESS) { return lmdb_failure(code, "read " + file_.path()); }
    const Txn txn(raw);
    MDB_dbi dbi = 0;
    if (code = ::mdb_dbi_open(raw, nullptr, 0, &dbi); code != MDB_SUCCESS) {
      return lmdb_failure(code, "read " + file_.path());
    }
    return action(raw, dbi);
  }

  Result<Found> look_up(MDB_txn* txn, MDB_dbi dbi, std::string_view key) {
    // LMDB refuses empty keys and longer ones than it can store: neither can be there.
    const auto longest = static_cast<std::size_t>(::mdb_env_get_maxkeysize(env_.get()));
    for (const bool with_nul : {true, false}) {
      if ((with_nul && nul_ == TrailingNul::without) || (!with_nul && nul_ == TrailingNul::with)) { continue; }
      std::string stored(key);
      if (with_nul) { stored.push_back('\0'); }
      if (stored.empty() || stored.size() > longest) { continue; }
      MDB_val wanted = value_of(stored);
      MDB_val value{};
      const int code = ::mdb_get(txn, dbi, &wanted, &value);
      if (code == MDB_SUCCESS) { return Found{std::string(without_nul(bytes_of(value)))}; }
      if (code != MDB_NOTFOUND) { return lmdb_failure(code, "read " + file_.path()); }
    }
    return Found{};
  }

  /// Changes made in place are seen by each new transaction; only another file at the path needs a new mapping.
  void reopen_if_replaced() {
    if (!file_.changed()) { return; }
    const auto at_path = sys::stat(file_.path());
    const auto mapped = sys::fstat(env_fd(env_.get()));
    if (!at_path || !mapped || (at_path->st_ino == mapped->st_ino && at_path->st_dev == mapped->st_dev)) {
      (void)file_.note();
      return;
    }
    if (auto env = open_env(file_.path(), MDB_RDONLY, map_size_bytes_, 0)) {
      env_ = *std::move(env);
      (void)file_.note();
    }
  }

  WatchedFile file_;
  std::size_t map_size_bytes_;
  TrailingNul nul_;
  Env env_;
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
  if (S_ISDIR(status->st_mode)) { return errno_failure(EISDIR, "open database " + path); }
  WatchedFile file(path, context.recheck_interval);
  SP_TRY(file.note());
  SP_TRY(Env env, open_env(path, MDB_RDONLY, context.lmdb_map_size_bytes, 0));
  return std::make_unique<LmdbTable>(fmt::format("{}:{}", type, name), std::move(file), context.lmdb_map_size_bytes,
                                     context.nul, std::move(env));
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

  std::string path;          ///< what readers open
  std::string working_path;  ///< the file being written: `path`, or a new one beside it
  Options options;
  std::size_t map_size_bytes = 0;
  unique_fd old_file;  ///< holds the lock on the file that is going to be replaced
  Env env;
  Txn txn;
  MDB_dbi dbi = 0;
  std::vector<Operation> done;  ///< to be repeated when the map must grow
  bool temporary = false;
  bool clear = false;  ///< in place of a new file: the transaction starts by dropping all entries

  ~State() {
    txn.reset();
    env.reset();
    if (temporary) { (void)::unlink(working_path.c_str()); }
  }

  std::string what() const { return "error updating " + path; }

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

  /// A new file beside `path`, with the owner and mode of the one that it is going to replace.
  Result<> create_beside(const std::optional<struct stat>& existing) {
    working_path = fmt::format("{}.{}.tmp", path, ::getpid());
    (void)::unlink(working_path.c_str());
    const mode_t mode = existing ? existing->st_mode & 0777U : options.file_mode;
    auto created = sys::open(working_path, O_RDWR | O_CREAT | O_EXCL, mode);
    if (!created) { return errno_failure(created.error().code.value(), "open database " + path); }
    temporary = true;
    // The umask must not take permissions away that the source file grants.
    SP_TRY(sys::fchmod(created->get(), mode));
    if (existing && (existing->st_uid != ::geteuid() || existing->st_gid != ::getegid()) &&
        ::fchown(created->get(), existing->st_uid, existing->st_gid) != 0) {
      return errno_failure("change owner of " + working_path);
    }
    return {};
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
      if (map_size_bytes > kMapSizeLimit) { return lmdb_failure(MDB_MAP_FULL, what()); }
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

  /// True when it took effect, false for "already there" and "not there".
  Result<bool> apply(Operation operation) {
    for (;;) {
      const int code = run(operation);
      if (code == MDB_SUCCESS) {
        done.push_back(std::move(operation));
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
  auto state = std::make_unique<State>();
  state->options = options;
  state->map_size_bytes = options.map_size_bytes;
  // A symbolic link keeps pointing where it does: the file it names is the one that is replaced.
  if (char* real = ::realpath(path.c_str(), nullptr); real != nullptr) {
    state->path = real;
    ::free(real);
  } else {
    state->path = path;
  }
  state->working_path = state->path;

  std::optional<struct stat> existing;
  for (bool locked = false; !locked;) {
    auto fd = sys::open(state->path, O_RDWR);
    if (!fd) {
      if (!fd.error().is(std::errc::no_such_file_or_directory)) {
        return errno_failure(fd.error().code.value(), "open database " + state->path);
      }
      existing.reset();
      break;
    }
    SP_TRY(lock_file(fd->get(), F_WRLCK, kWriterLockWait, state->path));
    // While we waited, the lock's holder may have put another file in this place.
    SP_TRY(const struct stat held, sys::fstat(fd->get()));
    const auto current = sys::stat(state->path);
    locked = current && current->st_ino == held.st_ino && current->st_dev == held.st_dev;
    if (locked) {
      existing = held;
      state->old_file = *std::move(fd);
    }
  }

  const bool in_place = options.mode == Mode::update && existing;
  if (!in_place) {
    auto created = state->create_beside(existing);
    const bool forbidden = !created && (created.error().is(std::errc::permission_denied) ||
                                        created.error().is(std::errc::operation_not_permitted));
    if (forbidden && existing) {
      // We may write the file but not make one like it in this directory: one transaction does it in place.
      if (std::exchange(state->temporary, false)) { (void)::unlink(state->working_path.c_str()); }
      state->working_path = state->path;
      state->clear = true;
    } else if (!created) {
      return std::unexpected(std::move(created).error());
    }
  }
  SP_TRY(state->env, open_env(state->working_path, 0, state->map_size_bytes, options.file_mode));
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
  for (;;) {
    const int code = ::mdb_txn_commit(state_->txn.release());
    if (code == MDB_SUCCESS) { break; }
    if (code != MDB_MAP_FULL) { return lmdb_failure(code, state_->what()); }
    SP_TRY(state_->grow());
  }
  state_->env.reset();
  if (state_->temporary) {
    // mdb_txn_commit has synced the data, but not what an empty transaction left unwritten, nor the directory.
    SP_TRY(const unique_fd file, sys::open(state_->working_path, O_RDWR));
    SP_TRY(sys::fsync(file.get()));
    SP_TRY(sys::rename(state_->working_path, state_->path));
    state_->temporary = false;
    std::string directory = state_->path;
    SP_TRY(const unique_fd parent, sys::open(::dirname(directory.data()), O_RDONLY | O_DIRECTORY));
    SP_TRY(sys::fsync(parent.get()));
  }
  state_->old_file.reset();
  return {};
}

}  // namespace stagepost::maps
