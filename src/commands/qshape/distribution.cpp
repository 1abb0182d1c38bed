// See the header.
#include "commands/qshape/distribution.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::qshape {
namespace {

constexpr std::int64_t kMaxMinutes = INT64_MAX / 120;
constexpr std::size_t kMinWidth = 80;
/// A name column is never narrower: "+" and the last 17 bytes of a name.
constexpr std::size_t kMinNameWidth = 18;
constexpr std::size_t kNameOctets = 1000;

std::uint64_t sum_of(const std::vector<std::uint64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

void add_to(std::vector<std::uint64_t>& counts, const std::vector<std::uint64_t>& more) {
  counts.resize(more.size());
  std::transform(more.begin(), more.end(), counts.begin(), counts.begin(), std::plus<>());
}

/// A name that does not fit keeps its end, which says more than its beginning.
std::string fitted(std::string_view name, std::size_t width) {
  if (name.size() <= width) { return std::string(name); }
  const std::string_view mark = name.starts_with('.') ? ".+" : "+";
  return std::string(mark).append(name.substr(name.size() - (width - mark.size())));
}

}  // namespace

AgeBuckets::AgeBuckets(std::size_t count, std::int64_t minutes, Growth growth) {
  std::int64_t limit = minutes;
  for (std::size_t i = 1; i < count; ++i) {
    limits_.push_back(limit);
    const std::int64_t step = growth == Growth::linear ? minutes : limit;
    limit = limit > kMaxMinutes - step ? kMaxMinutes : limit + step;
  }
}

std::size_t AgeBuckets::of(std::int64_t seconds) const {
  const auto found = std::ranges::find_if(limits_, [&](std::int64_t minutes) { return seconds < minutes * 60; });
  return static_cast<std::size_t>(found - limits_.begin());
}

std::vector<std::string> AgeBuckets::titles() const {
  std::vector<std::string> titles;
  for (const std::int64_t minutes : limits_) { titles.push_back(std::to_string(minutes)); }
  titles.push_back(fmt::format("{}+", limits_.empty() ? 0 : limits_.back()));
  return titles;
}

std::string domain_of(std::string_view address) {
  if (address.empty()) { return "MAILER-DAEMON"; }
  const auto at = address.rfind('@');
  const std::string_view domain = at == std::string_view::npos ? address : address.substr(at + 1);
  std::string clean;
  for (const std::string_view label : text::split(domain, ".")) {
    if (!clean.empty()) { clean += '.'; }
    clean += label;
  }
  // Addresses come from strangers, and the table goes to a terminal.
  return LogText(PeerBytes(text::to_lower(clean)), kNameOctets).str();
}

void Distribution::add(std::string_view address, std::int64_t age_seconds) {
  const std::size_t bucket = buckets_.of(age_seconds);
  ++total_[bucket];
  auto& counts = domains_[domain_of(address)];
  counts.resize(buckets_.size());
  ++counts[bucket];
}

std::unordered_map<std::string, Distribution::Parent> Distribution::parents() const {
  std::unordered_map<std::string, Parent> parents;
  for (const auto& [domain, counts] : domains_) {
    bool new_child = true;
    for (auto dot = domain.find('.'); dot != std::string::npos; dot = domain.find('.', dot + 1)) {
      // Top level domains are no parents.
      if (domain.find('.', dot + 1) == std::string::npos) { break; }
      const auto [parent, inserted] = parents.try_emplace(domain.substr(dot));
      add_to(parent->second.counts, counts);
      if (new_child) { ++parent->second.children; }
      new_child = inserted;
    }
  }
  return parents;
}

std::string Distribution::table(const Layout& layout) const {
  std::vector<Row> rows;
  for (const auto& [domain, counts] : domains_) {
    if (!domain.empty()) { rows.push_back({domain, sum_of(counts), &counts}); }
  }
  const auto aggregates = layout.parents ? parents() : std::unordered_map<std::string, Parent>{};
  for (const auto& [name, parent] : aggregates) {
    if (parent.children >= layout.min_subdomains) { rows.push_back({name, sum_of(parent.counts), &parent.counts}); }
  }
  const std::size_t shown = std::min(rows.size(), std::max<std::size_t>(layout.rows, 1) - 1);
  std::ranges::partial_sort(rows, rows.begin() + static_cast<std::ptrdiff_t>(shown), [](const Row& a, const Row& b) {
    return a.sum != b.sum ? a.sum > b.sum : a.name < b.name;
  });
  rows.resize(shown);
  rows.insert(rows.begin(), {"TOTAL", sum_of(total_), &total_});

  // Counts of the total are the widest of their columns.
  const std::vector<std::string> titles = buckets_.titles();
  std::vector<std::size_t> widths{std::max<std::size_t>(std::to_string(rows.front().sum).size(), 2) + 1};
  std::size_t used = widths.front();
  for (std::size_t i = 0; i < titles.size(); ++i) {
    const std::size_t digits = std::to_string(total_[i]).size();
    widths.push_back(std::max({titles[i].size(), digits, std::size_t{2}}) + 1);
    used += widths.back();
  }
  const std::size_t width = std::max(layout.width, kMinWidth);
  const std::size_t name_width = used + kMinNameWidth > width ? kMinNameWidth : width - used;

  std::string table = fmt::format("{:>{}}{:>{}}", "", name_width, "T", widths[0]);
  for (std::size_t i = 0; i < titles.size(); ++i) { table += fmt::format("{:>{}}", titles[i], widths[i + 1]); }
  table += '\n';
  for (const Row& row : rows) {
    table += fmt::format("{:>{}}{:>{}}", fitted(row.name, name_width), name_width, row.sum, widths[0]);
    for (std::size_t i = 0; i < titles.size(); ++i) { table += fmt::format("{:>{}}", (*row.counts)[i], widths[i + 1]); }
    table += '\n';
  }
  return table;
}

}  // namespace stagepost::qshape
