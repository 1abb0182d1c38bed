// See key_domains.hpp.
#include "maps/key_domains.hpp"

#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "maps/match_list.hpp"

namespace stagepost::maps {
namespace {

class KeyDomainTable final : public Table {
 public:
  KeyDomainTable(std::unique_ptr<Table> table, MatchList domains, std::function<void(std::string_view)> warn)
      : Table(table->name(), table->key_kind()),
        table_(std::move(table)),
        domains_(std::move(domains)),
        warn_(std::move(warn)) {}

  bool immediate() const override { return table_->immediate(); }

  std::optional<Result<Found>> find_now(std::string_view key) override {
    const auto domain = domain_of(key);
    if (!domain) { return Found{}; }
    auto listed = domains_.matches_now({.name = *domain});
    if (!listed) { return std::nullopt; }
    if (!*listed) { return std::unexpected(std::move(*listed).error()); }
    if (!**listed) { return Found{}; }
    return table_->find_now(key);
  }

  net::Task<Result<Found>> find(std::string key) override {
    auto listed = co_await is_listed(key);
    SP_CO_TRY(const bool eligible, std::move(listed));
    if (!eligible) { co_return Found{}; }
    auto found = co_await table_->find(std::move(key));
    co_return found;
  }

  net::Task<Result<>> put(std::string key, std::string value) override {
    auto listed = co_await is_listed(key);
    SP_CO_TRY(const bool eligible, std::move(listed));
    if (!eligible) {
      warn_(fmt::format("{}: key \"{}\" is outside of its domains: update skipped", name(), printable(key)));
      co_return Result<>{};
    }
    auto stored = co_await table_->put(std::move(key), std::move(value));
    co_return stored;
  }

  net::Task<Result<bool>> erase(std::string key) override {
    auto listed = co_await is_listed(key);
    SP_CO_TRY(const bool eligible, std::move(listed));
    if (!eligible) { co_return false; }
    auto erased = co_await table_->erase(std::move(key));
    co_return erased;
  }

  Result<> each(const Visit& visit) override { return table_->each(visit); }

 private:
  net::Task<Result<bool>> is_listed(const std::string& key) const {
    auto domain = domain_of(key);
    if (!domain) { co_return false; }
    auto listed = co_await domains_.matches({.name = *std::move(domain)});
    co_return listed;
  }

  static std::optional<std::string> domain_of(std::string_view key) {
    const std::size_t at = key.rfind('@');
    if (at == std::string_view::npos || at == 0 || at + 1 == key.size()) { return std::nullopt; }
    return std::string(key.substr(at + 1));
  }

  std::unique_ptr<Table> table_;
  MatchList domains_;
  std::function<void(std::string_view)> warn_;
};

}  // namespace

Result<std::unique_ptr<Table>> only_key_domains(std::unique_ptr<Table> table, const std::string& list,
                                                const OpenContext& context) {
  SP_TRY(MatchList domains, MatchList::create("domain", list, {.style = MatchStyle::strings}, context));
  return std::make_unique<KeyDomainTable>(
      std::move(table), std::move(domains), context.warn ? context.warn : [](std::string_view) {});
}

}  // namespace stagepost::maps
