// See cdb_file.hpp. Reading does not map the file, so that a truncated one is an error and not a signal. The format:
// 256 pairs (position, slots) of hash tables; records (key size, value size, key, value); tables of (hash, position)
// pairs.
#include "maps/cdb_file.hpp"

#include <array>
#include <cdb.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unordered_set>

#include <fmt/format.h>

#include "base/sys.hpp"
#include "maps/file_replacement.hpp"
#include "maps/watched_file.hpp"

namespace stagepost::maps {
namespace {

constexpr std::uint32_t kIndexSize = 2048;

std::uint32_t number_at(const char* bytes) { return ::cdb_unpack(reinterpret_cast<const unsigned char*>(bytes)); }

/// One open file: its index is in memory, the rest is read where it is needed.
class CdbReader {
 public:
  static Result<CdbReader> open(const std::string& path) {
    auto fd = sys::open(path, O_RDONLY);
    if (!fd) { return errno_failure(fd.error().code.value(), "open database " + path); }
    SP_TRY(const struct stat status, sys::fstat(fd->get()));
    if (S_ISDIR(status.st_mode)) { return errno_failure(EISDIR, "open database " + path); }
    CdbReader reader(*std::move(fd), path);
    if (!S_ISREG(status.st_mode) || status.st_size < kIndexSize || status.st_size > UINT32_MAX) {
      return failure(fmt::format("open database {}: not a cdb file", path));
    }
    reader.size_ = static_cast<std::uint32_t>(status.st_size);
    SP_TRY(reader.read(reader.index_.data(), kIndexSize, 0));
    reader.records_end_ = reader.size_;
    for (std::size_t i = 0; i < 256; ++i) {
      const std::uint32_t at = number_at(&reader.index_[i * 8]);
      const std::uint32_t slots = number_at(&reader.index_[i * 8 + 4]);
      if (at < kIndexSize || at > reader.size_ || slots > (reader.size_ - at) / 8) {
        return failure(fmt::format("open database {}: not a cdb file, or a truncated one", path));
      }
      reader.records_end_ = std::min(reader.records_end_, at);
    }
    return reader;
  }

  Result<Found> find(std::string_view key) const {
    const auto hash = ::cdb_hash(key.data(), static_cast<unsigned>(key.size()));
    const char* entry = &index_[std::size_t{hash & 0xFFU} * 8];
    const std::uint32_t table = number_at(entry);
    const std::uint32_t slots = number_at(entry + 4);
    if (slots == 0) { return Found{}; }
    // Half of the slots are empty, so the wanted one is near: a few are read at once.
    constexpr std::uint32_t kAtOnce = 8;
    std::array<char, std::size_t{kAtOnce} * 8> some{};
    std::uint32_t slot = (hash >> 8U) % slots;
    for (std::uint32_t seen = 0; seen < slots;) {
      const std::uint32_t count = std::min({kAtOnce, slots - slot, slots - seen});
      SP_TRY(read(some.data(), std::size_t{count} * 8, table + slot * 8));
      for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t position = number_at(&some[std::size_t{i} * 8 + 4]);
        if (position == 0) { return Found{}; }
        if (number_at(&some[std::size_t{i} * 8]) != hash) { continue; }
        SP_TRY(Found found, record(position, key));
        if (found) { return found; }
      }
      seen += count;
      slot = slot + count == slots ? 0 : slot + count;
    }
    return Found{};
  }

  Result<> each(const Visit& visit) const {
    std::string bytes;
    for (std::uint32_t at = kIndexSize; at < records_end_;) {
      SP_TRY(const auto sizes, sizes_at(at));
      bytes.resize(std::size_t{sizes.first} + sizes.second);
      SP_TRY(read(bytes.data(), bytes.size(), at + 8));
      SP_TRY(visit(std::string_view(bytes).substr(0, sizes.first), std::string_view(bytes).substr(sizes.first)));
      at += 8 + sizes.first + sizes.second;
    }
    return {};
  }

 private:
  CdbReader(unique_fd fd, const std::string& path) : fd_(std::move(fd)), path_(path) {}

  std::unexpected<Error> damaged() const {
    return failure(fmt::format("read {}: damaged database", path_), std::errc::io_error);
  }

  Result<> read(char* to, std::size_t size, std::uint32_t offset) const {
    while (size > 0) {
      SP_TRY(const std::size_t got, sys::pread(fd_.get(), {to, size}, offset));
      if (got == 0) { return damaged(); }
      to += got;
      size -= got;
      offset += static_cast<std::uint32_t>(got);
    }
    return {};
  }

  Result<std::pair<std::uint32_t, std::uint32_t>> check_sizes(std::uint32_t at, const char* header) const {
    const std::uint32_t key = number_at(header);
    const std::uint32_t value = number_at(header + 4);
    if (std::uint64_t{at} + 8 + key + value > records_end_) { return damaged(); }
    return std::pair(key, value);
  }

  Result<std::pair<std::uint32_t, std::uint32_t>> sizes_at(std::uint32_t at) const {
    if (at < kIndexSize || std::uint64_t{at} + 8 > records_end_) { return damaged(); }
    std::array<char, 8> header{};
    SP_TRY(read(header.data(), header.size(), at));
    return check_sizes(at, header.data());
  }

  /// The value of the record at `at` if its key is `key`. Most records come with one read.
  Result<Found> record(std::uint32_t at, std::string_view key) const {
    if (at < kIndexSize || std::uint64_t{at} + 8 > records_end_) { return damaged(); }
    std::array<char, 512> start{};
    const std::size_t have = std::min<std::size_t>(start.size(), records_end_ - at);
    SP_TRY(read(start.data(), have, at));
    SP_TRY(const auto sizes, check_sizes(at, start.data()));
    const auto [key_size, value_size] = sizes;
    if (key_size != key.size()) { return Found{}; }
    const std::size_t whole = 8 + std::size_t{key_size} + value_size;
    if (whole <= have) {
      const std::string_view bytes(start.data(), whole);
      if (bytes.substr(8, key_size) != key) { return Found{}; }
      return Found{std::string(bytes.substr(8 + std::size_t{key_size}))};
    }
    if (value_size > kValueLimit + 1) {
      return failure(fmt::format("read {}: value is too long", path_), std::errc::value_too_large);
    }
    std::string bytes(whole, '\0');
    SP_TRY(read(bytes.data(), whole, at));
    if (std::string_view(bytes).substr(8, key_size) != key) { return Found{}; }
    bytes.erase(0, 8 + std::size_t{key_size});
    return Found{std::move(bytes)};
  }

  unique_fd fd_;
  std::string path_;
  std::uint32_t size_ = 0;
  std::uint32_t records_end_ = 0;
  std::array<char, kIndexSize> index_{};
};

std::string_view without_nul(std::string_view bytes) {
  return bytes.ends_with('\0') ? bytes.substr(0, bytes.size() - 1) : bytes;
}

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
    for (const bool with_nul : {false, true}) {
      if ((with_nul && context_.nul == TrailingNul::without) || (!with_nul && context_.nul == TrailingNul::with)) {
        continue;
      }
      stored_.assign(key);
      if (with_nul) { stored_.push_back('\0'); }
      auto found = reader_.find(stored_);
      if (!found) { return found; }
      if (*found) {
        if ((**found).ends_with('\0')) { (**found).pop_back(); }
        return found;
      }
    }
    return Found{};
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
    } else {
      context_.warning(
          fmt::format("{}: cannot read the changed table, using the old one: {}", name(), fresh.error().message()));
    }
    (void)file_.note();
  }

  WatchedFile file_;
  CdbReader reader_;
  OpenContext context_;
  std::string stored_;
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
    std::unique_ptr<CdbWriter> writer(new CdbWriter(std::move(file), *std::move(fd), options.nul));
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
    const bool fresh = keys_.emplace(key).second;
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
  CdbWriter(FileReplacement file, unique_fd fd, TrailingNul nul)
      : file_(std::move(file)), fd_(std::move(fd)), nul_(nul) {}

  std::unexpected<Error> broken() const { return errno_failure("error updating " + file_.path()); }

  FileReplacement file_;
  unique_fd fd_;
  TrailingNul nul_;
  struct cdb_make make_{};
  bool started_ = false;
  /// The library would read the file back for each key.
  std::unordered_set<std::string> keys_;
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
