// What the rule files of regexp_table(5), pcre_table(5) and cidr_table(5) have in common: logical lines, "!", IF and
// ENDIF, and the order in which rules are tried.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/result.hpp"
#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "maps/file_table.hpp"
#include "maps/logical_lines.hpp"
#include "maps/open.hpp"

namespace stagepost::maps {

/// What each kind of rule starts with.
struct RuleFrame {
  bool is_if = false;
  bool negated = false;
  std::size_t end = 0;  ///< of an IF: the first rule after its ENDIF
};

/// Collects the rules of one file. `Rule` derives from RuleFrame. Bad lines are warned about and skipped.
template <class Rule>
class RuleFile {
 public:
  RuleFile(std::string_view type, std::string_view name, const OpenContext& context)
      : type_(type), name_(name), context_(context) {}

  [[nodiscard]] const OpenContext& context() const { return context_; }

  /// Calls `statement` with each logical line, without white space at its end.
  template <class Statement>
  [[nodiscard]] std::vector<Rule> read(std::string_view source, Statement statement) {
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
      (void)end_if();
    }
    return std::move(rules_);
  }

  /// About the line that is being read.
  void warn(std::string_view text) const {
    context_.warning(fmt::format("{} map {}, line {}: {}", type_, name_, line_number_, text));
  }

  void add(Rule rule) { rules_.push_back(std::move(rule)); }
  void begin_if(Rule rule) {
    rule.is_if = true;
    open_ifs_.push_back({.rule = rules_.size(), .line_number = line_number_});
    rules_.push_back(std::move(rule));
  }
  [[nodiscard]] bool in_if() const { return !open_ifs_.empty(); }
  /// False: there is no IF to end.
  bool end_if() {
    if (open_ifs_.empty()) { return false; }
    rules_[open_ifs_.back().rule].end = rules_.size();
    open_ifs_.pop_back();
    return true;
  }

  /// Takes each "!" and the white space after it off `rest`. True: the pattern behind them is negated.
  [[nodiscard]] static bool take_negations(std::string_view& rest) {
    bool negated = false;
    while (rest.starts_with('!')) {
      negated = !negated;
      rest = text::trim(rest.substr(1));
    }
    return negated;
  }

 private:
  struct OpenIf {
    std::size_t rule;
    std::size_t line_number;
  };
  std::string_view type_;
  std::string_view name_;
  const OpenContext& context_;
  std::vector<Rule> rules_;
  std::vector<OpenIf> open_ifs_;
  std::size_t line_number_ = 0;
};

/// The first rule that applies, null: none. `applies` says so of a rule or an IF, negation included (Result<bool>).
template <class Rule, class Applies>
[[nodiscard]] Result<const Rule*> first_match(const std::vector<Rule>& rules, Applies applies) {
  for (std::size_t i = 0; i < rules.size();) {
    const Rule& rule = rules[i];
    SP_TRY(const bool hit, applies(rule));
    if (hit && !rule.is_if) { return &rule; }
    i = hit || !rule.is_if ? i + 1 : rule.end;
  }
  return nullptr;
}

/// The text that `{ {rule} {rule} }` stands for: one rule a line. Error: a rule without braces.
[[nodiscard]] Result<std::string> inline_rules(std::string_view type, std::string_view name);

/// Opens a table of rules from a file, or from the rules in its name. `Content` as FileTable wants it.
template <class Content>
[[nodiscard]] Result<std::unique_ptr<Table>> open_rules(std::string_view type, std::string_view name,
                                                        const OpenContext& context) {
  if (name.starts_with('{')) {
    SP_TRY(const std::string source, inline_rules(type, name));
    return FileTable<Content>::from_text(type, name, source, KeyKind::pattern, context);
  }
  return FileTable<Content>::open(type, name, KeyKind::pattern, context);
}

}  // namespace stagepost::maps
