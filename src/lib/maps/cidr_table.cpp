// See cidr_table.hpp.
#include "maps/cidr_table.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"

namespace stagepost::maps {

class CidrParser {
 public:
  CidrParser(std::string_view name, const OpenContext& context) : file_("cidr", name, context) {}

  CidrRules run(std::string_view source) {
    CidrRules rules;
    rules.rules_ = file_.read(source, [this](std::string_view line) { statement(line); });
    rules.build_index();
    return rules;
  }

 private:
  using Rule = CidrRules::Rule;

  void warn(std::string_view text) const { file_.warn(text); }

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

  std::optional<Network> network(std::string_view pattern) {
    auto parsed = Network::parse(pattern);
    if (!parsed) {
      warn(parsed.error().context + ": skipping this rule");
      return std::nullopt;
    }
    return *parsed;
  }

  void begin_if(std::string_view rest) {
    const bool negated = RuleFile<Rule>::take_negations(rest);
    if (rest.empty()) {
      warn("no address pattern: skipping this rule");
      return;
    }
    if (const auto parsed = network(rest)) { file_.begin_if(Rule{{.negated = negated}, *parsed, {}}); }
  }

  void end_if(std::string_view rest) {
    if (!rest.empty()) {
      warn("garbage after ENDIF: skipping this rule");
    } else if (!file_.end_if()) {
      warn("ENDIF without IF: skipping this rule");
    }
  }

  void rule(std::string_view line) {
    const bool negated = RuleFile<Rule>::take_negations(line);
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
      file_.add(Rule{{.negated = negated}, *parsed, std::string(value)});
    }
  }

  RuleFile<Rule> file_;
};

CidrRules CidrRules::parse(std::string_view name, std::string_view source, const OpenContext& context) {
  return CidrParser(name, context).run(source);
}

void CidrRules::build_index() {
  std::vector<std::size_t> around;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    Rule& rule = rules_[i];
    while (!around.empty() && rules_[around.back()].end <= i) { around.pop_back(); }
    if (!around.empty()) { rule.inside = around.back(); }
    if (rule.is_if) {
      around.push_back(i);
    } else if (rule.negated) {
      negated_.push_back(i);
    } else {
      tries_.at(static_cast<std::size_t>(rule.network.base.family)).add(rule.network, static_cast<CidrTrie::Value>(i));
    }
  }
}

/// Postfix compares within a family: a negated IPv4 pattern says nothing about an IPv6 address.
bool CidrRules::applies(const Rule& rule, const IpBits& address) {
  return rule.network.base.family == address.family && rule.network.contains(address) != rule.negated;
}

/// Are the conditions of all IFs around the rule true?
bool CidrRules::reached(const Rule& rule, const IpBits& address) const {
  for (std::size_t i = rule.inside; i != kNoIf; i = rules_[i].inside) {
    if (!applies(rules_[i], address)) { return false; }
  }
  return true;
}

Found CidrRules::find(std::string_view key) const {
  const auto address = IpBits::parse(key);
  if (!address) { return {}; }
  std::size_t first = rules_.size();
  tries_.at(static_cast<std::size_t>(address->family))
      .containing(*address, [&](std::span<const CidrTrie::Value> rules) {
        for (const CidrTrie::Value candidate : rules) {
          if (candidate >= first) { break; }
          if (reached(rules_[candidate], *address)) { first = candidate; }
        }
      });
  for (const std::size_t candidate : negated_) {
    if (candidate >= first) { break; }
    if (applies(rules_[candidate], *address) && reached(rules_[candidate], *address)) { first = candidate; }
  }
  return first < rules_.size() ? Found{rules_[first].result} : Found{};
}

Found CidrRules::find_by_scan(std::string_view key) const {
  const auto address = IpBits::parse(key);
  if (!address) { return {}; }
  const auto rule =
      first_match(rules_, [&](const Rule& candidate) -> Result<bool> { return applies(candidate, *address); });
  return rule && *rule != nullptr ? Found{(*rule)->result} : Found{};
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
  return open_rules<CidrContent>("cidr", name, context);
}

}  // namespace stagepost::maps
