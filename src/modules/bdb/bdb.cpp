// hash: and btree: tables in Berkeley DB 5.3 files, "name.db", as Postfix keeps them: keys and values with a
// terminating NUL (unless written with postmap -n), flock(2) on the whole file. A module, so that only those who have
// such files need the library.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <db.h>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "maps/entry_buffer.hpp"
#include "maps/file_replacement.hpp"
#include "maps/module.hpp"
#include "maps/stored_key.hpp"
#include "maps/watched_file.hpp"

namespace stagepost::maps {
namespace {

constexpr std::chrono::seconds kReaderLockWait{5};
constexpr std::uint32_t kGigabyte = 1U << 30U;
constexpr std::int64_t kDefaultReadCache = 131'072;

struct DbClose {
  // The content is synced by who wrote it; closing an unfinished file needs no sync.
  void operator()(DB* db) const { (void)db->close(db, DB_NOSYNC); }
};
using Db = std::unique_ptr<DB, DbClose>;

struct CursorClose {
  void operator()(DBC* cursor) const { (void)cursor->close(cursor); }
};

DBT thing(std::string_view bytes) {
  DBT dbt{};
  dbt.data = const_cast<char*>(bytes.data());
  dbt.size = static_cast<std::uint32_t>(bytes.size());
  return dbt;
}
std::string_view bytes_of(const DBT& dbt) { return {static_cast<const char*>(dbt.data), dbt.size}; }

/// Codes of the library are negative, the others are errno values.
std::unexpected<Error> db_failure(int code, const std::string& what) {
  if (code > 0) { return errno_failure(code, what); }
  return failure(fmt::format("{}: {}", what, ::db_strerror(code)), std::errc::io_error);
}

struct Opening {
  DBTYPE kind;
  std::uint32_t flags;
  std::uint32_t cache_bytes = 0;  ///< 0: the library's default
  std::uint32_t entries = 0;      ///< hash: expected number
};

Result<Db> open_db(const std::string& path, const Opening& how) {
  DB* raw = nullptr;
  if (const int code = ::db_create(&raw, nullptr, 0); code != 0) { return db_failure(code, "open database " + path); }
  Db db(raw);
  // What goes wrong is said once, by the caller.
  raw->set_errfile(raw, nullptr);
  raw->set_errcall(raw, [](const DB_ENV*, const char*, const char*) {});
  int code = 0;
  if (how.cache_bytes > 0) { code = raw->set_cachesize(raw, 0, std::min(how.cache_bytes, kGigabyte), 0); }
  if (code == 0 && how.kind == DB_HASH && how.entries > 0) { code = raw->set_h_nelem(raw, how.entries); }
  // Not mapped: a file that somebody truncates must be an error, not a signal.
  if (code == 0) { code = raw->open(raw, nullptr, path.c_str(), nullptr, how.kind, how.flags | DB_NOMMAP, 0644); }
  if (code != 0) { return db_failure(code, "open database " + path); }
  return db;
}

/// A file with the library's view of it. The descriptor is ours, for the lock.
struct OpenFile {
  unique_fd fd;
  Db db;
  struct stat status{};  ///< while we had the lock
  /// The time of the last change is so far back that another change gets another time.
  bool settled = false;

  [[nodiscard]] bool unwritten() const {
    const auto same = [](const timespec& a, const timespec& b) {
      return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
    };
    struct stat now{};
    return ::fstat(fd.get(), &now) == 0 && now.st_size == status.st_size && same(now.st_mtim, status.st_mtim) &&
           same(now.st_ctim, status.st_ctim);
  }

  static Result<OpenFile> open(const std::string& path, DBTYPE kind, std::uint32_t cache_bytes) {
    auto fd = sys::open(path, O_RDONLY);
    if (!fd) { return errno_failure(fd.error().code.value(), "open database " + path); }
    SP_TRY(const struct stat found, sys::fstat(fd->get()));
    if (S_ISDIR(found.st_mode)) { return errno_failure(EISDIR, "open database " + path); }
    if (!S_ISREG(found.st_mode)) { return failure("open database " + path + ": not a regular file"); }
    SP_TRY(lock_file(fd->get(), LockStyle::flock, false, kReaderLockWait, path));
    SP_TRY(const struct stat status, sys::fstat(fd->get()));
    SP_TRY(check_size(fd->get(), status, path));
    SP_TRY(Db db, open_db(path, {.kind = kind, .flags = DB_RDONLY, .cache_bytes = cache_bytes}));
    unlock_file(fd->get(), LockStyle::flock);
    const std::time_t settled_before = std::time(nullptr) - 1;
    const bool settled = status.st_mtim.tv_sec < settled_before && status.st_ctim.tv_sec < settled_before;
    return OpenFile{.fd = *std::move(fd), .db = std::move(db), .status = status, .settled = settled};
  }

  /// The first page says which page is the last one: a file that ends before it is truncated.
  static Result<> check_size(int fd, const struct stat& status, const std::string& path) {
    std::array<char, 36> start{};
    SP_TRY(const std::size_t got, sys::pread(fd, start, 0));
    if (got < start.size()) { return errno_failure(EINVAL, "open database " + path); }
    std::uint32_t page_size = 0;
    std::uint32_t last_page = 0;
    std::memcpy(&page_size, start.data() + 20, sizeof page_size);
    std::memcpy(&last_page, start.data() + 32, sizeof last_page);
    if (page_size < 512 || page_size > 65536) { return errno_failure(EINVAL, "open database " + path); }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if ((std::uint64_t{last_page} + 1) * page_size > size) {
      return failure(fmt::format("open database {}: damaged database: it is truncated", path), std::errc::io_error);
    }
    return {};
  }
};

class BdbTable final : public ModuleTable {
 public:
  static Result<std::unique_ptr<ModuleTable>> open(DBTYPE kind, std::string_view name, const ModuleContext& context) {
    const std::string path = std::string(name) + ".db";
    std::int64_t cache = kDefaultReadCache;
    if (const auto value = context.parameter("berkeley_db_read_buffer_size")) {
      cache = std::clamp<std::int64_t>(std::strtoll(value->c_str(), nullptr, 10), 0, kGigabyte);
    }
    WatchedFile file(path, context.recheck_interval);
    SP_TRY(OpenFile opened, OpenFile::open(path, kind, static_cast<std::uint32_t>(cache)));
    SP_TRY(file.note());
    return std::unique_ptr<ModuleTable>(
        new BdbTable(kind, std::move(file), std::move(opened), static_cast<std::uint32_t>(cache), context));
  }

  Result<Found> find(std::string_view key) override {
    refresh();
    if (key.empty()) { return Found{}; }
    if (opened_.settled) {
      Result<Found> found = look_up(key);
      // Nobody wrote since the file was opened under the lock: what was read belongs together, and two system calls are
      // saved.
      if (found && opened_.unwritten()) { return found; }
    }
    const int fd = opened_.fd.get();
    SP_TRY(lock_file(fd, LockStyle::flock, false, kReaderLockWait, file_.path()));
    Result<Found> found = look_up(key);
    unlock_file(fd, LockStyle::flock);
    return found;
  }

  Result<> each(const Visit& visit) override {
    refresh();
    const int fd = opened_.fd.get();
    SP_TRY(lock_file(fd, LockStyle::flock, false, kReaderLockWait, file_.path()));
    Result<> walked = walk(visit);
    unlock_file(fd, LockStyle::flock);
    return walked;
  }

 private:
  BdbTable(DBTYPE kind, WatchedFile file, OpenFile opened, std::uint32_t cache_bytes, const ModuleContext& context)
      : kind_(kind), file_(std::move(file)), opened_(std::move(opened)), cache_bytes_(cache_bytes), context_(context) {}

  Result<Found> look_up(std::string_view key) {
    return key_.look_up(key, [this](std::string_view stored) -> Result<Found> {
      DBT wanted = thing(stored);
      DBT value{};
      const int code = opened_.db->get(opened_.db.get(), nullptr, &wanted, &value, 0);
      if (code == DB_NOTFOUND) { return Found{}; }
      if (code != 0) { return db_failure(code, "read " + file_.path()); }
      if (value.size > kValueLimit + 1) { return failure("value is too long", std::errc::value_too_large); }
      return Found{std::string(bytes_of(value))};
    });
  }

  Result<> walk(const Visit& visit) {
    DBC* raw = nullptr;
    if (const int code = opened_.db->cursor(opened_.db.get(), nullptr, &raw, 0); code != 0) {
      return db_failure(code, "read " + file_.path());
    }
    const std::unique_ptr<DBC, CursorClose> cursor(raw);
    // Pages that lead to each other in a circle have no end.
    SP_TRY(const struct stat status, sys::fstat(opened_.fd.get()));
    const std::uint64_t limit_bytes = 2 * static_cast<std::uint64_t>(status.st_size) + kGigabyte / 1024;
    std::uint64_t bytes = 0;
    for (;;) {
      DBT key{};
      DBT value{};
      const int code = raw->get(raw, &key, &value, DB_NEXT);
      if (code == DB_NOTFOUND) { return {}; }
      if (code != 0) { return db_failure(code, "read " + file_.path()); }
      bytes += std::uint64_t{key.size} + value.size;
      if (bytes > limit_bytes) { return failure("read " + file_.path() + ": damaged database: it has no end"); }
      SP_TRY(visit(without_nul(bytes_of(key)), without_nul(bytes_of(value))));
    }
  }

  /// The library keeps pages of the file it has read: a changed file, in place or not, is opened anew.
  void refresh() {
    if (!file_.changed()) { return; }
    auto fresh = OpenFile::open(file_.path(), kind_, cache_bytes_);
    if (fresh) {
      opened_ = *std::move(fresh);
      key_.forget();
    } else {
      const std::string_view file = std::string_view(file_.path()).substr(0, file_.path().size() - 3);
      context_.warn(unreadable_change(fmt::format("{}:{}", kind_ == DB_HASH ? "hash" : "btree", file), fresh.error()));
    }
    (void)file_.note();
  }

  DBTYPE kind_;
  WatchedFile file_;
  OpenFile opened_;
  std::uint32_t cache_bytes_;
  ModuleContext context_;
  StoredKey key_{context_.nul, TrailingNul::with};
};

class BdbWriter final : public TableWriter {
 public:
  static Result<std::unique_ptr<TableWriter>> open(DBTYPE kind, std::string_view name, const Options& options) {
    const std::string path = std::string(name) + ".db";
    SP_TRY(FileReplacement file, FileReplacement::open(path, options, LockStyle::flock));
    const bool fresh = !file.in_place() || options.mode == Mode::replace;
    Opening how{.kind = kind,
                .flags = fresh ? unsigned{DB_CREATE} | (file.in_place() ? unsigned{DB_TRUNCATE} : 0U) : 0U,
                .cache_bytes = static_cast<std::uint32_t>(std::min<std::size_t>(options.cache_size_bytes, kGigabyte)),
                .entries = static_cast<std::uint32_t>(std::min<std::size_t>(options.expected_entries, 1U << 28U))};
    auto db = open_db(file.working_path(), how);
    if (!db) {
      if (file.in_place()) { return std::unexpected(std::move(db).error()); }
      return db_failure(db.error().code.value(), "open database " + path);
    }
    std::unique_ptr<BdbWriter> writer(new BdbWriter(std::move(file), *std::move(db), kind, options.nul));
    if (fresh) { writer->entries_.emplace(options.expected_entries); }
    return writer;
  }

  Result<bool> put(std::string_view key, std::string_view value, Existing existing) override {
    return put_raw(stored(key), stored(value), existing);
  }

  Result<bool> put_raw(std::string_view key, std::string_view value, Existing existing) override {
    if (entries_) { return entries_->put(key, value, existing == Existing::overwrite); }
    const int code = store(key, value, existing == Existing::keep ? DB_NOOVERWRITE : 0U);
    if (code == DB_KEYEXIST) { return false; }
    if (code != 0) { return broken(code); }
    return true;
  }

  Result<bool> erase(std::string_view key) override {
    bool erased = false;
    for (const bool with_nul : {true, false}) {
      if ((with_nul && nul_ == TrailingNul::without) || (!with_nul && nul_ == TrailingNul::with)) { continue; }
      std::string bytes(key);
      if (with_nul) { bytes.push_back('\0'); }
      if (entries_) {
        erased = entries_->erase(bytes) || erased;
        continue;
      }
      DBT wanted = thing(bytes);
      const int code = db_->del(db_.get(), nullptr, &wanted, 0);
      if (code != 0 && code != DB_NOTFOUND) { return broken(code); }
      erased = erased || code == 0;
    }
    return erased;
  }

  Result<> commit() override {
    if (const int code = write_entries(); code != 0) { return broken(code); }
    // close() writes the pages, and syncs them.
    DB* db = db_.release();
    if (const int code = db->close(db, 0); code != 0) { return broken(code); }
    return file_.commit();
  }

 private:
  BdbWriter(FileReplacement file, Db db, DBTYPE kind, TrailingNul nul)
      : file_(std::move(file)), db_(std::move(db)), kind_(kind), nul_(nul) {}

  int store(std::string_view key, std::string_view value, std::uint32_t flags) {
    DBT stored_key = thing(key);
    DBT stored_value = thing(value);
    return db_->put(db_.get(), nullptr, &stored_key, &stored_value, flags);
  }

  /// In an order in which each page is filled once and then left alone, instead of going through the cache again and
  /// again: a btree by key, a hash by bucket.
  int write_entries() {
    if (!entries_) { return 0; }
    const auto put = [this](std::string_view key, std::string_view value) { return store(key, value, 0); };
    return kind_ == DB_BTREE ? entries_->each_sorted(put) : entries_->each_ranked(bucket_rank, put);
  }

  /// The library's hash of a key (Fowler, Noll, Vo) with its bits reversed: a bucket is the low bits, however many
  /// there are, so keys of one bucket are neighbours. Were it another hash, the file would be the same, written more
  /// slowly.
  static std::uint32_t bucket_rank(std::string_view key) {
    std::uint32_t hash = 0;
    for (const char byte : key) {
      hash *= 16'777'619U;
      hash ^= static_cast<unsigned char>(byte);
    }
    std::uint32_t reversed = 0;
    for (unsigned bit = 0; bit < 32; ++bit) { reversed = (reversed << 1U) | ((hash >> bit) & 1U); }
    return reversed;
  }

  std::string stored(std::string_view bytes) const {
    std::string result(bytes);
    if (nul_ != TrailingNul::without) { result.push_back('\0'); }
    return result;
  }
  std::unexpected<Error> broken(int code) const { return db_failure(code, "error updating " + file_.path()); }

  FileReplacement file_;
  Db db_;
  DBTYPE kind_;
  TrailingNul nul_;
  std::optional<EntryBuffer> entries_;  ///< of a new file
};

template <DBTYPE kKind>
Result<std::unique_ptr<ModuleTable>> open_table(std::string_view name, const ModuleContext& context) {
  return BdbTable::open(kKind, name, context);
}
template <DBTYPE kKind>
Result<std::unique_ptr<TableWriter>> open_writer(std::string_view name, const TableWriter::Options& options) {
  return BdbWriter::open(kKind, name, options);
}

constexpr std::array<ModuleType, 2> kTypes{{
    {.type = "hash", .open = open_table<DB_HASH>, .write = open_writer<DB_HASH>, .file_suffix = ".db"},
    {.type = "btree", .open = open_table<DB_BTREE>, .write = open_writer<DB_BTREE>, .file_suffix = ".db"},
}};

}  // namespace
}  // namespace stagepost::maps

const stagepost::maps::Module stagepost_table_module{.types = stagepost::maps::kTypes};
