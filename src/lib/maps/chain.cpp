// See chain.hpp.
#include "maps/chain.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/safe_text.hpp"

namespace stagepost::maps {
namespace {

/// Pattern tables see whole names only.
bool takes(const Table& table, const LookupKey& key) {
  return key.part == Part::whole || table.key_kind() == KeyKind::fixed;
}

std::optional<Result<Found>> value_only(std::optional<Chain::Answer> answer) {
  if (!answer) { return std::nullopt; }
  if (!*answer) { return std::unexpected(std::move(*answer).error()); }
  return **answer ? Found{std::move((***answer).value)} : Found{};
}

}  // namespace

Result<Chain> Chain::open(std::string_view parameter_name, std::string_view list, const OpenContext& context) {
  auto items = split_list(list);
  if (!items) { return std::unexpected(std::move(items).error().within(parameter_name)); }
  std::vector<std::unique_ptr<Table>> tables;
  for (const std::string& item : *items) {
    if (!item.contains(':')) {
      return failure(fmt::format("{}: open dictionary: expecting \"type:name\" form instead of \"{}\"", parameter_name,
                                 printable(item)));
    }
    tables.push_back(open_or_stand_in(item, context));
  }
  return Chain(std::string(parameter_name), std::move(tables));
}

Chain::Chain(std::string parameter_name, std::vector<std::unique_ptr<Table>> tables)
    : parameter_name_(std::move(parameter_name)), tables_(std::move(tables)) {}

bool Chain::immediate() const {
  return std::ranges::all_of(tables_, [](const auto& table) { return table->immediate(); });
}

Chain::Answer Chain::accept(Result<Found> found, std::size_t key_index, const LookupKey& key,
                            const Table& table) const {
  if (!found) { return std::unexpected(lookup_error(table, key.text, std::move(found).error())); }
  if (!*found) { return std::nullopt; }
  if ((*found)->empty()) {
    return failure(
        fmt::format("{} lookup of {} returns an empty string result: {} should return NO RESULT in case of "
                    "NOT FOUND",
                    parameter_name_, printable(key.text), table.name()));
  }
  return Match{.value = std::move(**found), .key_index = key_index, .table = &table};
}

std::optional<Chain::Answer> Chain::find_now(std::span<const LookupKey> keys) const {
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (const auto& table : tables_) {
      if (!takes(*table, keys[i])) { continue; }
      std::optional<Result<Found>> found = table->find_now(keys[i].text);
      if (!found) { return std::nullopt; }
      Answer answer = accept(*std::move(found), i, keys[i], *table);
      if (!answer || *answer) { return answer; }
    }
  }
  return Answer(std::nullopt);
}

net::Task<Chain::Answer> Chain::find(LookupKeys keys) const {
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (const auto& table : tables_) {
      if (!takes(*table, keys[i])) { continue; }
      std::optional<Result<Found>> found = table->find_now(keys[i].text);
      if (!found) {
        auto waited = co_await table->find(keys[i].text);
        found = std::move(waited);
      }
      Answer answer = accept(*std::move(found), i, keys[i], *table);
      if (!answer || *answer) { co_return answer; }
    }
  }
  co_return Answer(std::nullopt);
}

std::optional<Result<Found>> Chain::find_now(std::string_view key) const {
  const std::array<LookupKey, 1> keys{LookupKey{.text = std::string(key)}};
  return value_only(find_now(keys));
}

net::Task<Result<Found>> Chain::find(std::string key) const {
  LookupKeys keys;
  keys.push_back({.text = std::move(key)});
  auto answer = co_await find(std::move(keys));
  co_return *value_only(std::move(answer));
}

}  // namespace stagepost::maps
