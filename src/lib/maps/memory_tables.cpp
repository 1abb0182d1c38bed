// See memory_tables.hpp.
#include "maps/memory_tables.hpp"

#include <algorithm>
#include <cstdlib>
#include <grp.h>
#include <pwd.h>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "maps/blocking_table.hpp"
#include "maps/braces.hpp"
#include "maps/file_table.hpp"
#include "maps/fold.hpp"
#include "maps/table_source.hpp"

namespace stagepost::maps {
namespace {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};
using Entries = std::unordered_map<std::string, std::string, TextHash, std::equal_to<>>;

std::string stored_key(std::string_view key, const OpenContext& context) {
  return context.fold == CaseFold::yes ? fold_case(key, context.utf8) : std::string(key);
}

/// A hash table of fixed keys: the content of texthash and inline.
class HashContent {
 public:
  explicit HashContent(Entries entries) : entries_(std::move(entries)) {}

  static Result<HashContent> parse(std::string_view name, std::string_view source, const OpenContext& context) {
    Entries entries;
    SP_TRY(parse_source(name, source, SourceFormat::postmap, IgnoringSuffix::yes, context, [&](SourceEntry entry) {
      const bool fresh = entries.try_emplace(stored_key(entry.key, context), std::move(entry.value)).second;
      if (!fresh) {
        context.warning(
            fmt::format("{}, line {}: duplicate entry: \"{}\"", name, entry.line_number, printable(entry.key)));
      }
      return Result<>{};
    }));
    return HashContent(std::move(entries));
  }

  Result<Found> find(std::string_view key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? Found{} : Found{found->second};
  }
  Result<> each(const Table::Visit& visit) const {
    for (const auto& [key, value] : entries_) { SP_TRY(visit(key, value)); }
    return {};
  }

 private:
  Entries entries_;
};

class HashTable final : public Table {
 public:
  HashTable(std::string name, HashContent content)
      : Table(std::move(name), KeyKind::fixed), content_(std::move(content)) {}
  std::optional<Result<Found>> find_now(std::string_view key) override { return content_.find(key); }
  Result<> each(const Visit& visit) override { return content_.each(visit); }

 private:
  HashContent content_;
};

/// Starts empty; what is stored lives as long as the program.
class InternalTable final : public Table {
 public:
  using Table::Table;
  std::optional<Result<Found>> find_now(std::string_view key) override {
    const auto found = entries_.find(key);
    return found == entries_.end() ? Found{} : Found{found->second};
  }
  Result<> each(const Visit& visit) override {
    for (const auto& [key, value] : entries_) { SP_TRY(visit(key, value)); }
    return {};
  }
  net::Task<Result<>> put(std::string key, std::string value) override {
    entries_.insert_or_assign(std::move(key), std::move(value));
    co_return Result<>{};
  }
  net::Task<Result<bool>> erase(std::string key) override { co_return entries_.erase(key) > 0; }

 private:
  Entries entries_;
};

class StaticTable final : public Table {
 public:
  StaticTable(std::string name, std::string value) : Table(std::move(name), KeyKind::fixed), value_(std::move(value)) {}
  std::optional<Result<Found>> find_now(std::string_view /*key*/) override { return Found{value_}; }

 private:
  std::string value_;
};

class EnvironTable final : public Table {
 public:
  using Table::Table;
  std::optional<Result<Found>> find_now(std::string_view key) override {
    if (key.contains('\0')) { return Found{}; }
    const char* value = ::getenv(std::string(key).c_str());
    return value == nullptr ? Found{} : Found{value};
  }
};

class FailTable final : public Table {
 public:
  using Table::Table;
  std::optional<Result<Found>> find_now(std::string_view /*key*/) override { return broken(); }
  Result<> each(const Visit& /*visit*/) override {
    return failure("table " + name() + ": sequence error: Application error");
  }
  net::Task<Result<>> put(std::string /*key*/, std::string /*value*/) override {
    co_return failure("table " + name() + ": write error: Application error");
  }
  net::Task<Result<bool>> erase(std::string /*key*/) override {
    co_return failure("table " + name() + ": delete error: Application error");
  }

 private:
  Result<Found> broken() const { return failure("Application error"); }
};

/// Calls a get*nam_r function with a growing buffer.
template <class Entry, class Lookup>
Result<const Entry*> look_up(Lookup lookup, const std::string& key, Entry& entry, std::vector<char>& buffer) {
  constexpr std::size_t kBufferLimit = 4U << 20U;
  for (buffer.resize(4096);; buffer.resize(buffer.size() * 2)) {
    Entry* result = nullptr;
    const int error = lookup(key.c_str(), &entry, buffer.data(), buffer.size(), &result);
    if (error == 0) { return result; }
    if (error == ENOENT || error == ESRCH) { return nullptr; }
    if (error != ERANGE || buffer.size() >= kBufferLimit) {
      return errno_failure(error, "lookup of " + printable(key));
    }
  }
}

/// These ask the name service, which may be a server on the network.
class PasswdLookup final : public BlockingConnection {
 public:
  Result<Found> find(const std::string& key) override {
    struct passwd entry{};
    std::vector<char> buffer;
    const auto found = look_up(::getpwnam_r, key, entry, buffer);
    if (!found) { return std::unexpected(found.error()); }
    if (*found == nullptr) { return Found{}; }
    return Found{fmt::format("{}:{}:{}:{}:{}:{}:{}", entry.pw_name, entry.pw_passwd, entry.pw_uid, entry.pw_gid,
                             entry.pw_gecos, entry.pw_dir, entry.pw_shell)};
  }
};

class GroupLookup final : public BlockingConnection {
 public:
  Result<Found> find(const std::string& key) override {
    struct group entry{};
    std::vector<char> buffer;
    const auto found = look_up(::getgrnam_r, key, entry, buffer);
    if (!found) { return std::unexpected(found.error()); }
    if (*found == nullptr) { return Found{}; }
    std::string line = fmt::format("{}:{}:{}:", entry.gr_name, entry.gr_passwd, entry.gr_gid);
    for (char** member = entry.gr_mem; *member != nullptr; ++member) {
      line += member == entry.gr_mem ? "" : ",";
      line += *member;
    }
    return Found{std::move(line)};
  }
};

template <class Lookup>
class AccountClient final : public BlockingClient {
 public:
  Result<std::unique_ptr<BlockingConnection>> connect() const override { return std::make_unique<Lookup>(); }
};

std::unexpected<Error> bad_inline(std::string_view problem, std::string_view name) {
  return failure(fmt::format(R"({}: "inline:{}"; need "inline:{{name=value...}}")", problem, name));
}

}  // namespace

Result<std::unique_ptr<Table>> open_texthash(std::string_view path, const OpenContext& context) {
  auto table = FileTable<HashContent>::open("texthash", path, KeyKind::fixed, context);
  if (!table && !table.error().context.starts_with("read ")) {
    return errno_failure(table.error().code.value(), fmt::format("open database {}", path));
  }
  return table;
}

Result<std::unique_ptr<Table>> open_inline(std::string_view name, const OpenContext& context) {
  const auto inside = inside_braces(name);
  const auto items = inside ? split_outside_braces(*inside) : std::unexpected(inside.error());
  if (!items || inside->empty()) { return bad_inline("bad syntax", name); }
  if (items->empty()) { return bad_inline("empty table", name); }
  Entries entries;
  for (const std::string_view item : *items) {
    std::string_view pair = item;
    if (item.starts_with('{')) {
      const auto between = inside_braces(item);
      if (!between) { return bad_inline(between.error().context, name); }
      pair = text::trim(*between);
      if (pair.empty()) { return bad_inline("no key found; expected format: key = value", name); }
    }
    const std::size_t equals = pair.find('=');
    const std::string_view key = text::trim(pair.substr(0, equals));
    // White space inside a key is refused: it is most likely a forgotten '=' or comma.
    if (equals == std::string_view::npos || std::ranges::any_of(key, text::is_space)) {
      return bad_inline("missing '=' after attribute name", name);
    }
    entries.insert_or_assign(stored_key(key, context), std::string(text::trim(pair.substr(equals + 1))));
  }
  return std::make_unique<HashTable>(fmt::format("inline:{}", name), HashContent(std::move(entries)));
}

Result<std::unique_ptr<Table>> open_internal(std::string_view name, const OpenContext& /*context*/) {
  return std::make_unique<InternalTable>(fmt::format("internal:{}", name), KeyKind::fixed);
}

Result<std::unique_ptr<Table>> open_static(std::string_view name, const OpenContext& /*context*/) {
  std::string_view value = name;
  if (name.starts_with('{')) {
    const auto inside = inside_braces(name);
    if (!inside) { return std::unexpected(Error(inside.error()).within("bad static:name syntax")); }
    value = text::trim(*inside);
  }
  return std::make_unique<StaticTable>(fmt::format("static:{}", name), std::string(value));
}

Result<std::unique_ptr<Table>> open_environ(std::string_view name, const OpenContext& /*context*/) {
  return std::make_unique<EnvironTable>(fmt::format("environ:{}", name), KeyKind::fixed);
}

Result<std::unique_ptr<Table>> open_fail(std::string_view name, const OpenContext& /*context*/) {
  return std::make_unique<FailTable>(fmt::format("fail:{}", name), KeyKind::fixed);
}

Result<std::unique_ptr<Table>> open_unix(std::string_view name, const OpenContext& context) {
  std::shared_ptr<const BlockingClient> client;
  if (name == "passwd.byname") { client = std::make_shared<AccountClient<PasswdLookup>>(); }
  if (name == "group.byname") { client = std::make_shared<AccountClient<GroupLookup>>(); }
  if (!client) { return failure(fmt::format("unknown table: unix:{}", name)); }
  return std::make_unique<BlockingTable>(fmt::format("unix:{}", name), std::move(client),
                                         context.may_block ? nullptr : context.loop);
}

}  // namespace stagepost::maps
