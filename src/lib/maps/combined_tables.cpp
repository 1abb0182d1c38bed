// See combined_tables.hpp.
#include "maps/combined_tables.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include <fmt/format.h>

#include "maps/braces.hpp"

namespace stagepost::maps {
namespace {

// {pipemap:{unionmap:{...}}}: deeper nesting is refused, so that opening and asking stay bounded.
constexpr std::size_t kNestingLimit = 100;

constexpr std::size_t kMemberLimit = 1000;

using Tables = std::vector<std::unique_ptr<Table>>;

/// Parts of names make sense only when each member can be asked for them.
KeyKind combined_kind(const Tables& tables) {
  const bool fixed = std::ranges::all_of(tables, [](const auto& table) { return table->key_kind() == KeyKind::fixed; });
  return fixed ? KeyKind::fixed : KeyKind::pattern;
}

bool all_immediate(const Tables& tables) {
  return std::ranges::all_of(tables, [](const auto& table) { return table->immediate(); });
}

class UnionTable final : public Table {
 public:
  UnionTable(std::string name, Tables tables)
      : Table(std::move(name), combined_kind(tables)), tables_(std::move(tables)) {}

  bool immediate() const override { return all_immediate(tables_); }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    std::string all;
    for (const auto& table : tables_) {
      std::optional<Result<Found>> one = table->find_now(key);
      if (!one) { return std::nullopt; }
      if (auto added = add(all, *std::move(one)); !added) { return std::unexpected(std::move(added).error()); }
    }
    return found(std::move(all));
  }

  net::Task<Result<Found>> find(std::string key) override {
    std::string all;
    for (const auto& table : tables_) {
      auto one = co_await table->find(key);
      SP_CO_TRY(add(all, std::move(one)));
    }
    co_return found(std::move(all));
  }

 private:
  Result<> add(std::string& all, Result<Found> one) const {
    if (!one) { return std::unexpected(std::move(one).error()); }
    if (!one->has_value()) { return {}; }
    if (!all.empty()) { all.push_back(','); }
    all.append(**one);
    if (all.size() > kValueLimit) { return failure(name() + ": result is too long", std::errc::value_too_large); }
    return {};
  }
  /// Nothing but empty values is nothing found.
  static Found found(std::string all) { return all.empty() ? Found{} : Found{std::move(all)}; }

  Tables tables_;
};

class PipeTable final : public Table {
 public:
  PipeTable(std::string name, Tables tables)
      : Table(std::move(name), combined_kind(tables)), tables_(std::move(tables)) {}

  bool immediate() const override { return all_immediate(tables_); }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    std::string value(key);
    for (const auto& table : tables_) {
      std::optional<Result<Found>> step = table->find_now(value);
      if (!step || !*step || !**step) { return step; }
      value = std::move(***step);
    }
    return Found{std::move(value)};
  }

  net::Task<Result<Found>> find(std::string key) override {
    for (const auto& table : tables_) {
      auto step = co_await table->find(std::move(key));
      if (!step || !*step) { co_return step; }
      key = std::move(**step);
    }
    co_return Found{std::move(key)};
  }

 private:
  Tables tables_;
};

class RandomTable final : public Table {
 public:
  RandomTable(std::string name, std::vector<std::string> values)
      : Table(std::move(name), KeyKind::fixed), values_(std::move(values)), random_(std::random_device{}()) {}

  std::optional<Result<Found>> find_now(std::string_view /*key*/) override {
    std::uniform_int_distribution<std::size_t> pick(0, values_.size() - 1);
    return Found{values_[pick(random_)]};
  }

 private:
  std::vector<std::string> values_;
  std::minstd_rand random_;
};

std::unexpected<Error> bad_syntax(std::string_view type, std::string_view name, std::string_view content) {
  return failure(fmt::format(R"(bad syntax: "{0}:{1}"; need "{0}:{{{2}...}}")", type, name, content));
}

Result<Tables> open_members(std::string_view type, std::string_view name, const OpenContext& context) {
  const auto inside = inside_braces(name);
  if (!inside) { return bad_syntax(type, name, "type:name"); }
  if (static_cast<std::size_t>(std::ranges::count(name, '{')) > kMemberLimit) {
    return failure(fmt::format("{}: too many tables", type));
  }
  std::size_t depth = 0;
  for (const char c : name) {
    depth = c == '{' ? depth + 1 : c == '}' && depth > 0 ? depth - 1 : depth;
    if (depth > kNestingLimit) { return failure(fmt::format("{}: nested too deeply", type)); }
  }
  const auto items = split_outside_braces(*inside);
  if (!items || items->empty()) { return bad_syntax(type, name, "type:name"); }
  Tables tables;
  for (const std::string_view item : *items) {
    if (!item.contains(':')) { return bad_syntax(type, name, "type:name"); }
    SP_TRY(auto table, open(item, context));
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace

Result<std::unique_ptr<Table>> open_unionmap(std::string_view name, const OpenContext& context) {
  SP_TRY(Tables tables, open_members("unionmap", name, context));
  return std::make_unique<UnionTable>(fmt::format("unionmap:{}", name), std::move(tables));
}

Result<std::unique_ptr<Table>> open_pipemap(std::string_view name, const OpenContext& context) {
  SP_TRY(Tables tables, open_members("pipemap", name, context));
  return std::make_unique<PipeTable>(fmt::format("pipemap:{}", name), std::move(tables));
}

Result<std::unique_ptr<Table>> open_randmap(std::string_view name, const OpenContext& /*context*/) {
  const auto inside = inside_braces(name);
  if (!inside) { return bad_syntax("randmap", name, "value"); }
  const auto items = split_outside_braces(*inside);
  if (!items || items->empty()) { return bad_syntax("randmap", name, "value"); }
  return std::make_unique<RandomTable>(fmt::format("randmap:{}", name),
                                       std::vector<std::string>(items->begin(), items->end()));
}

}  // namespace stagepost::maps
