// See cdb_file.hpp. Reading does not map the file, so that a truncated one is an error and not a signal. The format:
// 256 pairs (position, slots) of hash tables; records (key size, value size, key, value); tables of (hash, position)
// pairs.
#include "maps/cdb_file.hpp"

#include <bit>
#include <cdb.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "maps/entry_buffer.hpp"
#include "maps/file_replacement.hpp"
#include "maps/mapped_file.hpp"
#include "maps/stored_key.hpp"
#include "maps/watched_file.hpp"

namespace stagepost::maps {
namespace {

constexpr std::uint32_t kIndexSize = 2048;

/// Numbers in the file are little-endian. The library's function is a call for each, and lookups do little else.
std::uint32_t number_at(const char* bytes) {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes, sizeof number);
  return std::endian::native == std::endian::little ? number : std::byteswap(number);
}

class CdbReader {
 public:
  static Result<CdbReader> open(const std::string& path) {
    auto fd = sys::open(path, O_RDONLY);
    if (!fd) { return errno_failure(fd.error().code.value(), "open database " + path); }
    SP_TRY(const struct stat status, sys::fstat(fd->get()));
    if (S_ISDIR(status.st_mode)) { return errno_failure(EISDIR, "open database " + path); }
    if (!S_ISREG(status.st_mode) || status.st_size < kIndexSize || status.st_size > UINT32_MAX) {
      return failure(fmt::format("open database {}: not a cdb file", path));
    }
    SP_TRY(MappedFile file, MappedFile::open(fd->get(), path));
    CdbReader reader(std::move(file), path);
    reader.records_end_ = reader.bytes().size();
    for (std::size_t i = 0; i < 256; ++i) {
      const std::size_t at = reader.number(i * 8);
      const std::size_t slots = reader.number(i * 8 + 4);
      if (at < kIndexSize || at > reader.bytes().size() || slots > (reader.bytes().size() - at) / 8) {
        return failure(fmt::format("open database {}: not a cdb file, or a truncated one", path));
      }
      reader.records_end_ = std::min(reader.records_end_, at);
    }
    if (reader.file_.damaged()) { return reader.damaged(); }
    return reader;
  }

  Result<Found> find(std::string_view key) const {
    auto found = search(key);
    if (file_.damaged()) { return damaged(); }
    return found;
  }

  Result<> each(const Visit& visit) const {
    for (std::size_t at = kIndexSize; at < records_end_;) {
      SP_TRY(const auto entry, record(at));
      const std::string key(entry.first);
      const std::string value(entry.second);
      if (file_.damaged()) { return damaged(); }
      SP_TRY(visit(key, value));
      at += 8 + key.size() + value.size();
    }
    return {};
  }

 private:
  CdbReader(MappedFile file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  std::string_view bytes() const { return file_.bytes(); }
  std::uint32_t number(std::size_t at) const { return number_at(bytes().data() + at); }

  std::unexpected<Error> damaged() const {
    return failure(fmt::format("read {}: damaged database", path_), std::errc::io_error);
  }

  Result<Found> search(std::string_view key) const {
    const auto hash = ::cdb_hash(key.data(), static_cast<unsigned>(key.size()));
    const std::size_t table = number(std::size_t{hash & 0xFFU} * 8);
    const std::size_t slots = number(std::size_t{hash & 0xFFU} * 8 + 4);
    if (slots == 0) { return Found{}; }
    if (table > bytes().size() || slots > (bytes().size() - table) / 8) { return damaged(); }
    std::size_t slot = (hash >> 8U) % slots;
    for (std::size_t seen = 0; seen < slots; ++seen) {
      const std::size_t position = number(table + slot * 8 + 4);
      if (position == 0) { return Found{}; }
      if (number(table + slot * 8) == hash) {
        SP_TRY(const auto entry, record(position));
        if (entry.first == key) {
          if (entry.second.size() > kValueLimit + 1) {
            return failure(fmt::format("read {}: value is too long", path_), std::errc::value_too_large);
          }
          return Found{std::string(entry.second)};
        }
      }
      slot = slot + 1 == slots ? 0 : slot + 1;
    }
    return Found{};
  }

  /// Key and value.
  Result<std::pair<std::string_view, std::string_view>> record(std::size_t at) const {
    if (at < kIndexSize || at + 8 > records_end_) { return damaged(); }
    const std::size_t key = number(at);
    const std::size_t value = number(at + 4);
    if (at + 8 + key + value > records_end_) { return damaged(); }
    return std::pair(bytes().substr(at + 8, key), bytes().substr(at + 8 + key, value));
  }

  MappedFile file_;
  std::string path_;
  std::size_t records_end_ = 0;
};

class CdbTable final : public Table {
 public:
  static Result<std::unique_ptr<Table>> open(std::string_view name, const OpenContext& context) {
    const std::string path = std::string(name) + ".cdb";
    WatchedFile file(path, context.recheck_interval);
    SP_TRY(CdbReader reader, CdbReader::open(path));
    SP_TRY(file.note());
    return std::unique_ptr<Table>(new CdbTable(name, std::move(file), std::move(reader), context));
  }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    refresh();
    return key_.look_up(key, [this](std::string_view stored) { return reader_.find(stored); });
  }

  Result<> each(const Visit& visit) override {
    refresh();
    return reader_.each(
        [&](std::string_view key, std::string_view value) { return visit(without_nul(key), without_nul(value)); });
  }

 private:
  CdbTable(std::string_view name, WatchedFile file, CdbReader reader, const OpenContext& context)
      : Table(fmt::format("cdb:{}", name), KeyKind::fixed),
        file_(std::move(file)),
        reader_(std::move(reader)),
        context_(context) {}

  void refresh() {
    if (!file_.changed()) { return; }
    auto fresh = CdbReader::open(file_.path());
    if (fresh) {
      reader_ = *std::move(fresh);
      key_.forget();
    } else {
      context_.warning(unreadable_change(name(), fresh.error()));
    }
    (void)file_.note();
  }

  WatchedFile file_;
  CdbReader reader_;
  OpenContext context_;
  StoredKey key_{context_.nul, TrailingNul::without};
};

class CdbWriter final : public TableWriter {
 public:
  static Result<std::unique_ptr<TableWriter>> open(std::string_view name, const Options& options) {
    const std::string path = std::string(name) + ".cdb";
    Options whole = options;
    whole.mode = Mode::replace;
    SP_TRY(FileReplacement file, FileReplacement::open(path, whole, LockStyle::flock_new));
    if (file.in_place()) { return errno_failure(EACCES, "open database " + file.working_path() + ".tmp"); }
    auto fd = sys::open(file.working_path(), O_RDWR);
    if (!fd) { return std::unexpected(std::move(fd).error()); }
    std::unique_ptr<CdbWriter> writer(new CdbWriter(std::move(file), *std::move(fd), options));
    if (::cdb_make_start(&writer->make_, writer->fd_.get()) != 0) { return writer->broken(); }
    writer->started_ = true;
    return writer;
  }
  ~CdbWriter() override {
    // The library frees its memory in cdb_make_finish() only; what it writes then goes to a file that disappears.
    if (started_) { (void)::cdb_make_finish(&make_); }
  }

  Result<bool> put(std::string_view key, std::string_view value, Existing existing) override {
    if (nul_ != TrailingNul::with) { return put_raw(key, value, existing); }
    return put_raw(std::string(key).append(1, '\0'), std::string(value).append(1, '\0'), existing);
  }

  Result<bool> put_raw(std::string_view key, std::string_view value, Existing existing) override {
    const bool fresh = keys_.put(key, {}, false);
    if (!fresh && existing == Existing::keep) { return false; }
    const auto key_size = static_cast<unsigned>(key.size());
    const auto value_size = static_cast<unsigned>(value.size());
    const int done = fresh ? ::cdb_make_add(&make_, key.data(), key_size, value.data(), value_size)
                           : ::cdb_make_put(&make_, key.data(), key_size, value.data(), value_size, CDB_PUT_REPLACE);
    if (done < 0) { return broken(); }
    return true;
  }

  Result<bool> erase(std::string_view /*key*/) override {
    return failure("error updating " + file_.path() + ": entries of a cdb table cannot be removed");
  }

  Result<> commit() override {
    started_ = false;
    if (::cdb_make_finish(&make_) != 0) { return broken(); }
    return file_.commit();
  }

 private:
  CdbWriter(FileReplacement file, unique_fd fd, const Options& options)
      : file_(std::move(file)), fd_(std::move(fd)), nul_(options.nul), keys_(options.expected_entries) {}

  std::unexpected<Error> broken() const { return errno_failure("error updating " + file_.path()); }

  FileReplacement file_;
  unique_fd fd_;
  TrailingNul nul_;
  struct cdb_make make_{};
  bool started_ = false;
  /// The library would read the file back for each key.
  EntryBuffer keys_;
};

}  // namespace

TableType cdb_type() {
  return {.open = CdbTable::open,
          .write = CdbWriter::open,
          .file_suffix = ".cdb",
          .label = TableType::Label::name,
          .changeable = false};
}

}  // namespace stagepost::maps
