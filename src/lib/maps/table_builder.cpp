// See table_builder.hpp.
#include "maps/table_builder.hpp"

#include <algorithm>
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <grp.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/progress.hpp"
#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "maps/fold.hpp"
#include "net/event_loop.hpp"

namespace stagepost::maps {
namespace {

constexpr std::size_t kShortEntryBytes = 16;
constexpr std::size_t kValueFileLimitBytes = 8U << 20U;

/// Effective user and group of the source file's owner while it lives. Only root changes.
class OwnerRights {
 public:
  static Result<OwnerRights> take(uid_t user, gid_t group) {
    OwnerRights rights;
    if (::geteuid() == 0 && user != 0) {
      if (::setgroups(1, &group) != 0 || ::setegid(group) != 0 || ::seteuid(user) != 0) {
        return errno_failure("change to the rights of the source file's owner");
      }
      rights.active_ = true;
    }
    return rights;
  }
  OwnerRights(OwnerRights&& other) noexcept : active_(std::exchange(other.active_, false)) {}
  OwnerRights& operator=(OwnerRights&&) = delete;
  OwnerRights(const OwnerRights&) = delete;
  OwnerRights& operator=(const OwnerRights&) = delete;
  ~OwnerRights() {
    if (active_) {
      // These cannot fail: the real and saved user are root.
      (void)::seteuid(0);
      (void)::setegid(::getgid());
    }
  }

 private:
  OwnerRights() = default;
  bool active_ = false;
};

/// Keeps the usual signals of a terminal or a service manager waiting until a table is complete.
class SignalsPostponed {
 public:
  SignalsPostponed() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) { ::sigaddset(&set, signal); }
    ::sigprocmask(SIG_BLOCK, &set, &before_);
  }
  ~SignalsPostponed() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  SignalsPostponed(const SignalsPostponed&) = delete;
  SignalsPostponed& operator=(const SignalsPostponed&) = delete;

 private:
  sigset_t before_{};
};

Result<const TableType*> known_type(std::string_view type, const OpenContext& context) {
  const TableType* how = types_of(context).find(type);
  if (how == nullptr) { return failure(fmt::format("unsupported dictionary type: {}", printable(type))); }
  return how;
}

std::unexpected<Error> no_bulk_mode(std::string_view type) {
  return failure(fmt::format("unsupported dictionary type: {} does not support bulk-mode creation.", printable(type)));
}

template <class T>
net::Task<> keep(net::Task<Result<T>> task, Result<T>& result) {
  auto done = co_await std::move(task);
  result = std::move(done);
}

/// The outcome of a table's own operation.
template <class T>
Result<T> wait(const OpenContext& context, net::Task<Result<T>> task) {
  if (context.loop == nullptr) { return failure("no event loop to wait in"); }
  Result<T> result = failure("not run");
  context.loop->run_task(keep(std::move(task), result));
  return result;
}

/// A TableWriter for tables that take entries one by one. Nothing waits for commit().
class OnlineWriter final : public TableWriter {
 public:
  OnlineWriter(std::unique_ptr<Table> table, const OpenContext& context)
      : table_(std::move(table)), context_(context) {}

  Result<bool> put(std::string_view key, std::string_view value, Existing existing) override {
    if (existing == Existing::keep) {
      SP_TRY(const Found found, wait(context_, table_->find(std::string(key))));
      if (found) { return false; }
    }
    SP_TRY(wait(context_, table_->put(std::string(key), std::string(value))));
    return true;
  }
  Result<bool> put_raw(std::string_view key, std::string_view value, Existing existing) override {
    return put(key, value, existing);
  }
  Result<bool> erase(std::string_view key) override { return wait(context_, table_->erase(std::string(key))); }
  Result<> commit() override { return {}; }

 private:
  std::unique_ptr<Table> table_;
  const OpenContext& context_;
};

Result<std::unique_ptr<TableWriter>> open_online(std::string_view type, const std::string& name,
                                                 const OpenContext& context) {
  OpenContext writing = context;
  writing.access = Access::write;
  SP_TRY(auto table, open(fmt::format("{}:{}", type, name), writing));
  return std::make_unique<OnlineWriter>(std::move(table), context);
}

std::string encode_base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length =
      ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                        reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

/// The files a value lists, with a newline between them.
Result<std::string> contents_of(std::string_view value) {
  std::string all;
  const auto names = text::split(value, ", \t\r\n");
  for (const std::string_view name : names) {
    auto content = sys::read_file(std::string(name), kValueFileLimitBytes);
    if (!content) { return failure(fmt::format("open {}: {}", name, content.error().code.message())); }
    all += all.empty() && name == names.front() ? "" : "\n";
    all += *content;
    if (all.size() > kValueFileLimitBytes) { return failure(fmt::format("{}: file too large", name)); }
  }
  if (names.empty()) { return failure(fmt::format("empty pathname list: >>{}<<'", value)); }
  return all;
}

class Builder {
 public:
  Builder(std::unique_ptr<TableWriter> writer, std::string table_name, std::string_view source_name,
          const BuildOptions& options, const OpenContext& context)
      : writer_(std::move(writer)),
        table_name_(std::move(table_name)),
        source_name_(source_name),
        options_(options),
        context_(context) {}

  Result<> run(std::string_view source) {
    SP_TRY(parse_source(source_name_, source, options_.format, IgnoringSuffix::no, context_,
                        [this](SourceEntry entry) { return add(std::move(entry)); }));
    if (options_.format == SourceFormat::aliases) { SP_TRY(add_marks()); }
    return writer_->commit();
  }

 private:
  /// A warning goes to the terminal too, where the count of entries may stand.
  void warn(const std::string& text) {
    progress_.hide();
    context_.warning(text);
  }

  Result<> add(SourceEntry entry) {
    progress_.step();
    if (options_.values_are_files) {
      const auto content = contents_of(entry.value);
      if (!content) {
        warn(fmt::format("{}, line {}: {}: skipping this entry", source_name_, entry.line_number,
                         content.error().message()));
        return {};
      }
      entry.value = encode_base64(*content);
    }
    using Duplicates = BuildOptions::Duplicates;
    if (entry.key.size() > kKeyLimit || entry.value.size() > kValueLimit) {
      warn(fmt::format("{}, line {}: key or value is too long: skipping this entry", source_name_, entry.line_number));
      return {};
    }
    const std::string key = context_.fold == CaseFold::yes ? fold_case(entry.key, context_.utf8) : entry.key;
    const auto existing =
        options_.duplicates == Duplicates::replace ? TableWriter::Existing::overwrite : TableWriter::Existing::keep;
    SP_TRY(const bool stored, writer_->put(key, entry.value, existing));
    if (!stored && options_.duplicates == Duplicates::warn) {
      warn(fmt::format("{}: duplicate entry: \"{}\"", table_name_, printable(key)));
    }
    return {};
  }

  /// Sendmail's "@" and what NIS wants to find in an alias map.
  Result<> add_marks() {
    constexpr auto kOver = TableWriter::Existing::overwrite;
    SP_TRY(writer_->put("@", "@", kOver));
    SP_TRY(writer_->put_raw("YP_LAST_MODIFIED", fmt::format("{:010}", static_cast<long>(std::time(nullptr))), kOver));
    SP_TRY(writer_->put_raw("YP_MASTER_NAME", options_.host_name, kOver));
    return {};
  }

  std::unique_ptr<TableWriter> writer_;
  std::string table_name_;
  std::string_view source_name_;
  const BuildOptions& options_;
  const OpenContext& context_;
  Progress progress_{"entries"};
};

mode_t new_file_mode(const struct stat& source, const BuildOptions& options) {
  return options.default_mode ? 0644U : (source.st_mode & (S_IRGRP | S_IROTH)) | S_IRUSR | S_IWUSR;
}

std::string label_of(const TableType& how, std::string_view type, const std::string& name) {
  switch (how.label) {
    case TableType::Label::file:
      return name + how.file_suffix;
    case TableType::Label::name:
      return name;
    case TableType::Label::type_and_name:
      break;
  }
  return fmt::format("{}:{}", type, name);
}

Result<> require_changeable(const TableType& how, std::string_view type) {
  if (how.changeable) { return {}; }
  return failure(fmt::format("{} tables can only be built as a whole: entries can be neither added nor removed", type));
}

Result<std::size_t> erase_all(TableWriter& writer, const std::vector<std::string>& keys, const OpenContext& context) {
  std::size_t erased = 0;
  for (const std::string& key : keys) {
    SP_TRY(const bool was_there, writer.erase(context.fold == CaseFold::yes ? fold_case(key, context.utf8) : key));
    erased += was_there ? 1U : 0U;
  }
  return erased;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

TableWriter::Options writer_options(TableWriter::Mode mode, mode_t file_mode, const BuildOptions& options,
                                    const OpenContext& context) {
  return {.mode = mode,
          .file_mode = file_mode,
          .map_size_bytes = context.lmdb_map_size_bytes,
          .cache_size_bytes = context.berkeley_db_create_buffer_bytes,
          .nul = options.nul};
}

Result<> write_table(const TableType& how, std::string_view type, const std::string& name, std::string_view source_name,
                     std::string_view source, TableWriter::Mode mode, mode_t file_mode, const BuildOptions& options,
                     const OpenContext& context) {
  const SignalsPostponed postponed;
  TableWriter::Options writing = writer_options(mode, file_mode, options, context);
  // Short lines are seldom entries: what is set aside for them stays in proportion to the source.
  writing.expected_entries =
      std::min(static_cast<std::size_t>(std::ranges::count(source, '\n')), source.size() / kShortEntryBytes);
  SP_TRY(auto writer, how.write(name, writing));
  auto built = Builder(std::move(writer), label_of(how, type, name), source_name, options, context).run(source);
  if (!built && built.error().context.starts_with("error updating ") && built.error().context.contains(": MDB_")) {
    // Postfix names the table here, not the file.
    const std::string& text = built.error().context;
    return failure(fmt::format("error updating {}:{}{}", type, name, text.substr(text.rfind(": MDB_"))));
  }
  return built;
}

}  // namespace

Result<> build_table(std::string_view type, const std::string& name, const BuildOptions& options,
                     const OpenContext& context) {
  auto file = sys::open(name, O_RDONLY);
  if (!file) { return errno_failure(file.error().code.value(), "open " + name); }
  SP_TRY(const struct stat status, sys::fstat(file->get()));
  if (S_ISDIR(status.st_mode)) { return errno_failure(EISDIR, "read " + name); }
  SP_TRY(const TableType* how, known_type(type, context));
  if (!how->write) { return no_bulk_mode(type); }
  if (std::cmp_greater(status.st_size, context.source_limit_bytes)) {
    return failure("read " + name, std::errc::file_too_large);
  }
  SP_TRY(const std::string source, sys::read_file(name, context.source_limit_bytes));
  SP_TRY(const OwnerRights rights,
         OwnerRights::take(options.keep_root ? 0 : status.st_uid, options.keep_root ? 0 : status.st_gid));
  return write_table(*how, type, name, name, source, TableWriter::Mode::replace, new_file_mode(status, options),
                     options, context);
}

Result<> update_table(std::string_view type, const std::string& name, std::string_view source_name,
                      std::string_view source, const BuildOptions& options, const OpenContext& context) {
  SP_TRY(const TableType* how, known_type(type, context));
  if (!how->write) {
    if (!how->takes_entries) { return no_bulk_mode(type); }
    SP_TRY(auto writer, open_online(type, name, context));
    return Builder(std::move(writer), fmt::format("{}:{}", type, name), source_name, options, context).run(source);
  }
  SP_TRY(require_changeable(*how, type));
  // The table may have no source file; then its own owner decides.
  auto status = sys::stat(name);
  if (!status) { status = sys::stat(name + how->file_suffix); }
  const bool keep_root = options.keep_root || !status;
  SP_TRY(const OwnerRights rights, OwnerRights::take(keep_root ? 0 : status->st_uid, keep_root ? 0 : status->st_gid));
  return write_table(*how, type, name, source_name, source, TableWriter::Mode::update,
                     status ? new_file_mode(*status, options) : 0644U, options, context);
}

Result<std::size_t> erase_from_table(std::string_view type, const std::string& name,
                                     const std::vector<std::string>& keys, const BuildOptions& options,
                                     const OpenContext& context) {
  SP_TRY(const TableType* how, known_type(type, context));
  if (!how->write) {
    SP_TRY(const auto writer, open_online(type, name, context));
    return erase_all(*writer, keys, context);
  }
  SP_TRY(require_changeable(*how, type));
  const std::string path = name + how->file_suffix;
  const auto status = sys::stat(path);
  if (!status) {
    // Nothing is in a table that nobody has made yet, but Postfix wants its Berkeley DB files to be there.
    const bool may_be_missing = how->label == TableType::Label::type_and_name && sys::stat(directory_of(path));
    if (may_be_missing && status.error().is(std::errc::no_such_file_or_directory)) { return std::size_t{0}; }
    return errno_failure(status.error().code.value(), "open database " + path);
  }
  const SignalsPostponed postponed;
  SP_TRY(const OwnerRights rights, OwnerRights::take(options.keep_root ? 0 : status->st_uid, status->st_gid));
  SP_TRY(auto writer, how->write(name, writer_options(TableWriter::Mode::update, 0644, options, context)));
  SP_TRY(const std::size_t erased, erase_all(*writer, keys, context));
  SP_TRY(writer->commit());
  return erased;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0 || text.size() > kValueLimit) { return std::nullopt; }
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length =
      ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                        reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) { return std::nullopt; }
  // EVP_DecodeBlock counts what padding stands for as bytes.
  const std::size_t padding = text.ends_with("==") ? 2U : text.ends_with('=') ? 1U : 0U;
  bytes.resize(static_cast<std::size_t>(length) - padding);
  return bytes;
}

}  // namespace stagepost::maps
