// See match_list.hpp.
#include "maps/match_list.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "maps/braces.hpp"
#include "maps/fold.hpp"
#include "maps/logical_lines.hpp"

namespace stagepost::maps {
namespace {

constexpr std::size_t kFileNestingLimit = 10;
constexpr std::size_t kFileLimitBytes = 16U << 20U;
constexpr std::size_t kItemLimit = 1'000'000;

/// A ':' outside [] makes "type:table" of an item.
bool names_table(std::string_view item) { return !item.starts_with('[') && item.contains(':'); }

bool looks_like_network(std::string_view item) {
  return item.starts_with('[') || item.contains('/') || IpBits::parse(item).has_value();
}

}  // namespace

struct MatchList::Prepared {
  Subject subject;
  std::string folded_name;
  std::optional<IpBits> address;
  /// What tables are asked for: the name and its parents, then the address.
  LookupKeys keys;

  Prepared(Subject from, const Options& options) : subject(std::move(from)) {
    folded_name = fold_case(subject.name, Utf8::check);
    if (options.style == MatchStyle::strings) {
      keys.push_back({.text = subject.name});
    } else if (!subject.name.empty()) {
      keys = domain_keys(subject.name, options.parents);
    }
    if (options.style == MatchStyle::names_or_addresses) {
      address = IpBits::parse(subject.address);
      if (!subject.address.empty()) { keys.push_back({.text = subject.address}); }
    }
  }
};

class MatchListParser {
 public:
  MatchListParser(MatchList& list, const OpenContext& context) : list_(list), context_(context) {}

  Result<> add_items(std::string_view text, bool negated, std::size_t depth) {
    auto items = split_outside_braces(text);
    if (!items) { return std::unexpected(std::move(items).error().within(list_.parameter_name_)); }
    for (std::string_view item : *items) {
      bool item_negated = negated;
      while (item.starts_with('!')) {
        item_negated = !item_negated;
        item.remove_prefix(1);
      }
      if (item.empty()) { return failure(fmt::format("{}: no pattern after '!'", list_.parameter_name_)); }
      if (list_.items_.size() >= kItemLimit) {
        return failure(fmt::format("{}: more than {} items", list_.parameter_name_, kItemLimit));
      }
      SP_TRY(add_item(item, item_negated, depth));
    }
    return {};
  }

 private:
  Result<> add_item(std::string_view item, bool negated, std::size_t depth) {
    if (item.starts_with('/')) { return add_file(std::string(item), negated, depth); }
    if (names_table(item)) {
      list_.items_.push_back({.negated = negated, .what = MatchList::TableItem{open_or_stand_in(item, context_)}});
      return {};
    }
    if (list_.options_.style == MatchStyle::names_or_addresses && looks_like_network(item)) {
      auto network = Network::parse(item);
      if (network) {
        list_.items_.push_back({.negated = negated, .what = *network});
      } else {
        add_broken(network.error().context);
      }
      return {};
    }
    list_.items_.push_back({.negated = negated, .what = MatchList::Text{fold_case(item, context_.utf8)}});
    return {};
  }

  Result<> add_file(const std::string& path, bool negated, std::size_t depth) {
    if (depth >= kFileNestingLimit) {
      add_broken(fmt::format("{}: files that name files are nested too deeply", path));
      return {};
    }
    const auto content = sys::read_file(path, kFileLimitBytes);
    if (!content) {
      add_broken(content.error().message());
      return {};
    }
    LogicalLines lines(*content);
    while (const std::optional<LogicalLine> line = lines.next()) { SP_TRY(add_items(line->text, negated, depth + 1)); }
    return {};
  }

  /// Nothing after a broken item can be trusted to be asked about in the right order, so lookups stop there.
  void add_broken(std::string reason) {
    context_.warning(fmt::format("{}: {}", list_.parameter_name_, reason));
    list_.items_.push_back({.negated = false, .what = MatchList::Broken{std::move(reason)}});
  }

  MatchList& list_;
  const OpenContext& context_;
};

Result<MatchList> MatchList::create(std::string_view parameter_name, std::string_view list, Options options,
                                    const OpenContext& context) {
  MatchList result;
  result.parameter_name_ = parameter_name;
  result.options_ = options;
  SP_TRY(MatchListParser(result, context).add_items(list, false, 0));
  return result;
}

std::optional<bool> MatchList::matches_plain(const Item& item, const Prepared& subject) const {
  if (const auto* text = std::get_if<Text>(&item.what)) {
    if (subject.folded_name.empty()) { return text->folded.empty(); }
    if (text->folded == subject.folded_name) { return true; }
    if (options_.style == MatchStyle::strings) { return false; }
    // ".example.com" matches below example.com; "example.com" does so too in the plain style.
    const std::string_view name = subject.folded_name;
    if (options_.parents == ParentStyle::dotted) {
      return text->folded.starts_with('.') && name.size() > text->folded.size() && name.ends_with(text->folded);
    }
    return name.size() > text->folded.size() && name.ends_with(text->folded) &&
           name[name.size() - text->folded.size() - 1] == '.';
  }
  if (const auto* network = std::get_if<Network>(&item.what)) {
    return subject.address && network->contains(*subject.address);
  }
  return std::nullopt;
}

Error MatchList::table_problem(const Table& table, Error reason) const {
  return std::move(reason).within(fmt::format("{}: {}: table lookup problem", parameter_name_, table.name()));
}

std::optional<Result<bool>> MatchList::matches_now(const Subject& subject) const {
  const Prepared prepared(subject, options_);
  for (const Item& item : items_) {
    if (const auto* broken = std::get_if<Broken>(&item.what)) {
      return failure(fmt::format("{}: {}", parameter_name_, broken->reason));
    }
    bool matched = false;
    if (const auto* table = std::get_if<TableItem>(&item.what)) {
      for (const LookupKey& key : prepared.keys) {
        if (key.part == Part::partial && table->table->key_kind() == KeyKind::pattern) { continue; }
        auto found = table->table->find_now(key.text);
        if (!found) { return std::nullopt; }
        if (!*found) { return std::unexpected(table_problem(*table->table, std::move(*found).error())); }
        matched = (**found).has_value();
        if (matched) { break; }
      }
    } else {
      matched = matches_plain(item, prepared).value_or(false);
    }
    if (matched) { return !item.negated; }
  }
  return false;
}

net::Task<Result<bool>> MatchList::matches(Subject subject) const {
  if (auto at_once = matches_now(subject)) { co_return *std::move(at_once); }
  const Prepared prepared(std::move(subject), options_);
  for (const Item& item : items_) {
    if (const auto* broken = std::get_if<Broken>(&item.what)) {
      co_return failure(fmt::format("{}: {}", parameter_name_, broken->reason));
    }
    bool matched = false;
    if (const auto* table = std::get_if<TableItem>(&item.what)) {
      for (const LookupKey& key : prepared.keys) {
        if (key.part == Part::partial && table->table->key_kind() == KeyKind::pattern) { continue; }
        auto found = co_await table->table->find(key.text);
        if (!found) { co_return std::unexpected(table_problem(*table->table, std::move(found).error())); }
        matched = found->has_value();
        if (matched) { break; }
      }
    } else {
      matched = matches_plain(item, prepared).value_or(false);
    }
    if (matched) { co_return !item.negated; }
  }
  co_return false;
}

}  // namespace stagepost::maps
