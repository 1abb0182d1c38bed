// See cidr_table.hpp.
#include "maps/cidr_table.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "maps/file_table.hpp"
#include "maps/logical_lines.hpp"
#include "maps/pattern_rules.hpp"

namespace stagepost::maps {

class CidrParser {
 public:
  CidrParser(std::string_view name, const OpenContext& context) : name_(name), context_(context) {}

  CidrRules run(std::string_view source) {
    LogicalLines lines(source);
    for (;;) {
      const std::optional<LogicalLine> line = lines.next();
      if (lines.orphan()) {
        context_.warning(
            fmt::format("{}: logical line must not start with whitespace: \"{}\"", name_, printable(*lines.orphan())));
      }
      if (!line) { break; }
      line_number_ = line->line_number;
      statement(text::trim_end(line->text));
    }
    while (!open_ifs_.empty()) {
      line_number_ = open_ifs_.back().line_number;
      warn("IF has no matching ENDIF");
      rules_.rules_[open_ifs_.back().rule].end = rules_.rules_.size();
      open_ifs_.pop_back();
    }
    rules_.build_index();
    return std::move(rules_);
  }

 private:
  struct OpenIf {
    std::size_t rule;
    std::size_t line_number;
  };

  void warn(std::string_view text) {
    context_.warning(fmt::format("cidr map {}, line {}: {}", name_, line_number_, text));
  }

  void statement(std::string_view line) {
    std::size_t word_end = 0;
    while (word_end < line.size() && text::is_alpha(line[word_end])) { ++word_end; }
    const std::string_view word = line.substr(0, word_end);
    const bool whole_word = word_end == line.size() || text::is_space(line[word_end]) || line[word_end] == '!';
    if (whole_word && text::iequals(word, "if")) {
      begin_if(text::trim(line.substr(word_end)));
    } else if (whole_word && text::iequals(word, "endif")) {
      end_if(text::trim(line.substr(word_end)));
    } else {
      rule(line);
    }
  }

  static bool take_negations(std::string_view& rest) {
    bool negated = false;
    while (rest.starts_with('!')) {
      negated = !negated;
      rest = text::trim(rest.substr(1));
    }
    return negated;
  }

  std::optional<Network> network(std::string_view pattern) {
    auto parsed = Network::parse(pattern);
    if (!parsed) {
      warn(parsed.error().context + ": skipping this rule");
      return std::nullopt;
    }
    return *parsed;
  }

  void begin_if(std::string_view rest) {
    const bool negated = take_negations(rest);
    if (rest.empty()) {
      warn("no address pattern: skipping this rule");
      return;
    }
    if (const auto parsed = network(rest)) {
      open_ifs_.push_back({.rule = rules_.rules_.size(), .line_number = line_number_});
      rules_.rules_.push_back({.is_if = true, .negated = negated, .network = *parsed});
    }
  }

  void end_if(std::string_view rest) {
    if (!rest.empty()) {
      warn("garbage after ENDIF: skipping this rule");
    } else if (open_ifs_.empty()) {
      warn("ENDIF without IF: skipping this rule");
    } else {
      rules_.rules_[open_ifs_.back().rule].end = rules_.rules_.size();
      open_ifs_.pop_back();
    }
  }

  void rule(std::string_view line) {
    const bool negated = take_negations(line);
    const std::size_t end = static_cast<std::size_t>(std::ranges::find_if(line, text::is_space) - line.begin());
    const std::string_view value = text::trim(line.substr(end));
    if (line.empty()) {
      warn("no address pattern: skipping this rule");
      return;
    }
    if (value.empty()) {
      warn("no lookup result: skipping this rule");
      return;
    }
    if (const auto parsed = network(line.substr(0, end))) {
      rules_.rules_.push_back({.negated = negated, .network = *parsed, .result = std::string(value)});
    }
  }

  std::string_view name_;
  const OpenContext& context_;
  CidrRules rules_;
  std::vector<OpenIf> open_ifs_;
  std::size_t line_number_ = 0;
};

CidrRules CidrRules::parse(std::string_view name, std::string_view source, const OpenContext& context) {
  return CidrParser(name, context).run(source);
}

void CidrRules::build_index() {
  indexed_ = std::ranges::none_of(rules_, [](const Rule& rule) { return rule.is_if || rule.negated; });
  if (!indexed_) { return; }
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const Network& network = rules_[i].network;
    auto level = std::ranges::find_if(levels_, [&](const Level& candidate) {
      return candidate.family == network.base.family && candidate.prefix_bits == network.prefix_bits;
    });
    if (level == levels_.end()) {
      levels_.push_back({.family = network.base.family, .prefix_bits = network.prefix_bits, .first_rule = {}});
      level = levels_.end() - 1;
    }
    level->first_rule.try_emplace(network.base, i);
  }
}

Found CidrRules::find(std::string_view key) const {
  const auto address = IpBits::parse(key);
  if (!address) { return {}; }
  if (indexed_) {
    std::size_t first = rules_.size();
    for (const Level& level : levels_) {
      if (level.family != address->family) { continue; }
      const auto found = level.first_rule.find(address->prefix(level.prefix_bits));
      if (found != level.first_rule.end()) { first = std::min(first, found->second); }
    }
    return first < rules_.size() ? Found{rules_[first].result} : Found{};
  }
  for (std::size_t i = 0; i < rules_.size();) {
    const Rule& rule = rules_[i];
    // Postfix compares within a family: a negated IPv4 pattern says nothing about an IPv6 address.
    const bool same_family = rule.network.base.family == address->family;
    const bool hit = same_family && rule.network.contains(*address) != rule.negated;
    if (rule.is_if) {
      i = hit ? i + 1 : rule.end;
    } else if (hit) {
      return rule.result;
    } else {
      ++i;
    }
  }
  return {};
}

namespace {

struct CidrContent {
  CidrRules rules;
  static Result<CidrContent> parse(std::string_view name, std::string_view source, const OpenContext& context) {
    return CidrContent{CidrRules::parse(name, source, context)};
  }
  Result<Found> find(std::string_view key) const { return rules.find(key); }
};

}  // namespace

Result<std::unique_ptr<Table>> open_cidr(std::string_view name, const OpenContext& context) {
  if (name.starts_with('{')) {
    SP_TRY(const std::string source, inline_rules("cidr", name));
    return FileTable<CidrContent>::from_text("cidr", name, source, KeyKind::pattern, context);
  }
  return FileTable<CidrContent>::open("cidr", name, KeyKind::pattern, context);
}

}  // namespace stagepost::maps
