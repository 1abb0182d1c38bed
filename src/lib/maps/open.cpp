// See open.hpp.
#include "maps/open.hpp"

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "maps/braces.hpp"
#include "maps/cdb_file.hpp"
#include "maps/cidr_table.hpp"
#include "maps/combined_tables.hpp"
#include "maps/fold.hpp"
#include "maps/lmdb_file.hpp"
#include "maps/memory_tables.hpp"
#include "maps/network_tables.hpp"
#include "maps/pattern_rules.hpp"

namespace stagepost::maps {
namespace {

/// What holds for every type, around the table itself: folds keys, refuses bytes that are not UTF-8, bounds sizes.
class CheckedTable final : public Table {
 public:
  CheckedTable(std::unique_ptr<Table> inner, const OpenContext& context)
      : Table(inner->name(), inner->key_kind()), inner_(std::move(inner)), context_(context) {}

  bool immediate() const override { return inner_->immediate(); }
  Result<> each(const Visit& visit) override { return inner_->each(visit); }

  net::Task<Result<>> put(std::string key, std::string value) override {
    if (context_.access != Access::write) { co_return failure("table " + name() + " was opened for reading"); }
    SP_CO_TRY(may_be_stored(key, value));
    auto stored = co_await inner_->put(folded(std::move(key)), std::move(value));
    co_return stored;
  }

  net::Task<Result<bool>> erase(std::string key) override {
    if (context_.access != Access::write) { co_return failure("table " + name() + " was opened for reading"); }
    if (!may_be_there(key)) { co_return false; }
    auto erased = co_await inner_->erase(folded(std::move(key)));
    co_return erased;
  }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    if (!may_be_there(key)) { return Found{}; }
    auto found = folds() ? inner_->find_now(fold_case(key, context_.utf8)) : inner_->find_now(key);
    return found ? std::optional(checked(*std::move(found), key)) : std::nullopt;
  }

  net::Task<Result<Found>> find(std::string key) override {
    if (!may_be_there(key)) { co_return Found{}; }
    auto found = co_await inner_->find(folded(key));
    co_return checked(std::move(found), key);
  }

 private:
  [[nodiscard]] bool folds() const { return context_.fold == CaseFold::yes && key_kind() == KeyKind::fixed; }
  [[nodiscard]] std::string folded(std::string key) const {
    return folds() ? fold_case(key, context_.utf8) : std::move(key);
  }

  [[nodiscard]] Result<> may_be_stored(std::string_view key, std::string_view value) const {
    if (key.empty() || key.size() > kKeyLimit || value.size() > kValueLimit) {
      return failure(fmt::format("table {}: key or value is empty or too long", name()), std::errc::value_too_large);
    }
    if (context_.utf8 == Utf8::check && !(text::is_utf8(key) && text::is_utf8(value))) {
      return failure(fmt::format("table {}: entry with key \"{}\" is not UTF-8", name(), printable(key)));
    }
    return {};
  }

  [[nodiscard]] bool may_be_there(std::string_view key) const {
    if (key.size() > kKeyLimit) { return false; }
    // Files may end their keys with NUL, which is no part of them; nothing else has one.
    if (key_kind() == KeyKind::fixed && key.contains('\0')) { return false; }
    if (context_.utf8 == Utf8::check && !text::is_utf8(key)) {
      context_.warning(
          fmt::format("{}: non-UTF-8 key \"{}\": malformed UTF-8 or invalid codepoint", name(), printable(key)));
      return false;
    }
    return true;
  }

  [[nodiscard]] Result<Found> checked(Result<Found> found, std::string_view key) const {
    if (!found || !*found) { return found; }
    const std::string& value = **found;
    if (value.size() > kValueLimit) { return failure("value is too long", std::errc::value_too_large); }
    if (context_.utf8 == Utf8::check && !text::is_utf8(value)) {
      context_.warning(fmt::format("{}: key \"{}\": non-UTF-8 value \"{}\": malformed UTF-8 or invalid codepoint",
                                   name(), printable(key), printable(value)));
      return failure({});  // the reason is in the log
    }
    return found;
  }

  std::unique_ptr<Table> inner_;
  OpenContext context_;
};

/// In the place of a table that could not be opened.
class StandInTable final : public Table {
 public:
  StandInTable(std::string_view name, const OpenContext& context, Error reason)
      : Table(std::string(name), KeyKind::fixed), context_(context), reason_(std::move(reason)), retry_at_(next()) {}

  bool immediate() const override { return real_ ? real_->immediate() : true; }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    if (!available()) { return std::unexpected(reason_); }
    // Whoever asked key by key believed in fixed keys; the answer is the same for patterns.
    return real_->find_now(key);
  }

  net::Task<Result<Found>> find(std::string key) override {
    if (!available()) { co_return std::unexpected(reason_); }
    auto found = co_await real_->find(std::move(key));
    co_return found;
  }

  Result<> each(const Visit& visit) override {
    return available() ? real_->each(visit) : Result<>(std::unexpected(reason_));
  }

  net::Task<Result<>> put(std::string key, std::string value) override {
    if (!available()) { co_return unavailable(); }
    auto stored = co_await real_->put(std::move(key), std::move(value));
    co_return stored;
  }

  net::Task<Result<bool>> erase(std::string key) override {
    if (!available()) { co_return unavailable(); }
    auto erased = co_await real_->erase(std::move(key));
    co_return erased;
  }

 private:
  [[nodiscard]] SteadyClock::time_point next() const { return SteadyClock::now() + context_.recheck_interval; }

  [[nodiscard]] std::unexpected<Error> unavailable() const {
    return std::unexpected(Error(reason_).within(name() + " is unavailable"));
  }

  bool available() {
    if (real_ || SteadyClock::now() < retry_at_) { return real_ != nullptr; }
    retry_at_ = next();
    auto table = open(name(), context_);
    if (table) {
      real_ = *std::move(table);
    } else {
      reason_ = std::move(table).error();
    }
    return real_ != nullptr;
  }

  OpenContext context_;
  Error reason_;
  SteadyClock::time_point retry_at_;
  std::unique_ptr<Table> real_;
};

/// debug:type:name logs each access to the table and what came of it.
class DebugTable final : public Table {
 public:
  DebugTable(std::unique_ptr<Table> inner, const OpenContext& context)
      : Table("debug:" + inner->name(), inner->key_kind()), inner_(std::move(inner)), note_(context.note) {}

  bool immediate() const override { return inner_->immediate(); }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    auto found = inner_->find_now(key);
    if (found) { log_lookup(key, *found); }
    return found;
  }
  net::Task<Result<Found>> find(std::string key) override {
    auto found = co_await inner_->find(key);
    log_lookup(key, found);
    co_return found;
  }
  Result<> each(const Visit& visit) override {
    return inner_->each([&](std::string_view key, std::string_view value) {
      log_access("sequence", key, fmt::format("= \"{}\"", printable(value)));
      return visit(key, value);
    });
  }
  net::Task<Result<>> put(std::string key, std::string value) override {
    auto stored = co_await inner_->put(key, value);
    log_access("update", key, fmt::format("= \"{}\"{}", printable(value), stored ? "" : ": error"));
    co_return stored;
  }
  net::Task<Result<bool>> erase(std::string key) override {
    auto erased = co_await inner_->erase(key);
    log_access("delete", key, !erased ? ": error" : *erased ? ": done" : ": not found");
    co_return erased;
  }

 private:
  void log_lookup(std::string_view key, const Result<Found>& found) const {
    log_access("lookup", key,
               !found   ? ": error: " + found.error().message()
               : *found ? fmt::format("= \"{}\"", printable(**found))
                        : ": not found");
  }
  void log_access(std::string_view what, std::string_view key, std::string_view outcome) const {
    if (note_) {
      note_(
          fmt::format("{} {}: \"{}\"{}{}", name(), what, printable(key), outcome.starts_with('=') ? " " : "", outcome));
    }
  }

  std::unique_ptr<Table> inner_;
  std::function<void(std::string_view)> note_;
};

Result<std::unique_ptr<Table>> open_debug(std::string_view name, const OpenContext& context) {
  // Each debug: is one level of calls.
  constexpr std::size_t kNestingLimit = 20;
  std::size_t depth = 0;
  for (std::string_view inner = name; inner.starts_with("debug:"); inner.remove_prefix(6)) { ++depth; }
  if (depth >= kNestingLimit) { return failure("debug: nested too deeply"); }
  if (!name.contains(':')) {
    return failure(fmt::format("bad syntax: \"debug:{0}\"; need \"debug:type:name\"", printable(name)));
  }
  SP_TRY(auto inner, open(name, context));
  return std::make_unique<DebugTable>(std::move(inner), context);
}

TableType read_only_type(Opener open) { return {.open = std::move(open), .read_only = true}; }
TableType pattern_type(Opener open) { return {.open = std::move(open), .read_only = true, .keys = KeyKind::pattern}; }

Registry make_built_in() {
  Registry registry;
  registry.add("cdb", cdb_type());
  registry.add("cidr", pattern_type(open_cidr));
  registry.add("debug", open_debug);
  registry.add("environ", open_environ);
  registry.add("fail", {.open = open_fail, .takes_entries = true});
  registry.add("inline", read_only_type(open_inline));
  registry.add("internal", open_internal);
  registry.add("lmdb", lmdb_type());
  registry.add("pcre", pattern_type(open_pcre));
  registry.add("pipemap", read_only_type(open_pipemap));
  registry.add("randmap", read_only_type(open_randmap));
  registry.add("regexp", pattern_type(open_regexp));
  registry.add("socketmap", pattern_type(open_socketmap));
  registry.add("static", open_static);
  registry.add("tcp", pattern_type(open_tcp));
  registry.add("texthash", read_only_type(open_texthash));
  registry.add("unionmap", read_only_type(open_unionmap));
  registry.add("unix", read_only_type(open_unix));
  return registry;
}

}  // namespace

const std::shared_ptr<const Registry>& Registry::built_in() {
  static const std::shared_ptr<const Registry> registry = std::make_shared<const Registry>(make_built_in());
  return registry;
}

void Registry::add(std::string type, TableType how) { types_.insert_or_assign(std::move(type), std::move(how)); }

const TableType* Registry::find(std::string_view type) const {
  const auto found = types_.find(type);
  return found == types_.end() ? nullptr : &found->second;
}

std::vector<std::string> Registry::names() const {
  std::vector<std::string> result;
  for (const auto& [type, how] : types_) { result.push_back(type); }
  return result;
}

const Registry& types_of(const OpenContext& context) { return context.types ? *context.types : *Registry::built_in(); }

KeyKind key_kind_of(std::string_view type_and_name, const OpenContext& context) {
  constexpr std::size_t kTableLimit = 1000;
  std::vector<std::string_view> open_ends{type_and_name};
  // Each step takes one name apart, so the text's length bounds the loop; the limit is for what cannot be opened
  // anyway.
  for (std::size_t i = 0; i < open_ends.size() && i < kTableLimit; ++i) {
    const std::string_view whole = open_ends[i];
    const std::size_t colon = whole.find(':');
    if (colon == std::string_view::npos) { continue; }
    const std::string_view type = whole.substr(0, colon);
    const std::string_view name = whole.substr(colon + 1);
    if (type == "debug" || type == "proxy") {
      open_ends.push_back(name);
    } else if (type == "unionmap" || type == "pipemap") {
      const auto inside = inside_braces(name);
      const auto items = inside ? split_outside_braces(*inside) : Result<std::vector<std::string_view>>{};
      if (items) { open_ends.insert(open_ends.end(), items->begin(), items->end()); }
    } else if (const TableType* how = types_of(context).find(type); how != nullptr && how->keys == KeyKind::pattern) {
      return KeyKind::pattern;
    }
  }
  return KeyKind::fixed;
}

Result<std::unique_ptr<Table>> open(std::string_view type_and_name, const OpenContext& context) {
  const std::size_t colon = type_and_name.find(':');
  if (colon == 0 || colon == std::string_view::npos || colon + 1 == type_and_name.size()) {
    return failure(
        fmt::format("open dictionary: expecting \"type:name\" form instead of \"{}\"", printable(type_and_name)));
  }
  const std::string_view type = type_and_name.substr(0, colon);
  const TableType* how = types_of(context).find(type);
  if (how == nullptr) { return failure(fmt::format("unsupported dictionary type: {}", printable(type))); }
  if (context.access == Access::write && how->read_only) {
    return failure(fmt::format("{} map requires O_RDONLY access mode", printable(type_and_name)));
  }
  SP_TRY(auto table, how->open(type_and_name.substr(colon + 1), context));
  return std::make_unique<CheckedTable>(std::move(table), context);
}

std::unique_ptr<Table> open_or_stand_in(std::string_view type_and_name, const OpenContext& context) {
  auto table = open(type_and_name, context);
  if (table) { return *std::move(table); }
  context.warning(fmt::format("{} is unavailable. {}", printable(type_and_name), table.error().message()));
  return std::make_unique<StandInTable>(type_and_name, context, std::move(table).error());
}

Result<std::vector<std::string>> split_list(std::string_view text) {
  SP_TRY(const std::vector<std::string_view> items, split_outside_braces(text));
  return std::vector<std::string>(items.begin(), items.end());
}

}  // namespace stagepost::maps
