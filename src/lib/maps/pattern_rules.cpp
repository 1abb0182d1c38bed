// See pattern_rules.hpp.
#include "maps/pattern_rules.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps {

class PatternParser {
 public:
  PatternParser(std::string_view name, const PatternDialect& dialect, const OpenContext& context)
      : dialect_(dialect), file_(dialect.type, name, context) {}

  PatternRules run(std::string_view source) {
    PatternRules rules;
    rules.rules_ = file_.read(source, [this](std::string_view line) { statement(line); });
    return rules;
  }

 private:
  using Rule = PatternRules::Rule;
  struct Pattern {
    std::shared_ptr<const Matcher> matcher;
    bool negated = false;
  };

  void warn(std::string_view text) const { file_.warn(text); }

  void statement(std::string_view line) {
    std::size_t word_end = 0;
    while (word_end < line.size() && text::is_alnum(line[word_end])) { ++word_end; }
    const std::string_view word = line.substr(0, word_end);
    const std::string_view rest = text::trim(line.substr(word_end));
    if (word.empty()) {
      rule(line);
    } else if (text::iequals(word, "if")) {
      begin_if(rest);
    } else if (text::iequals(word, "endif")) {
      end_if(rest);
    } else {
      warn("ignoring unrecognized request");
    }
  }

  void begin_if(std::string_view rest) {
    std::optional<Pattern> pattern = take_pattern(rest);
    if (!pattern) { return; }
    if (!rest.empty()) {
      warn(fmt::format("ignoring extra text after IF statement: \"{}\"", printable(rest)));
      warn("do not prepend whitespace to statements between IF and ENDIF");
    }
    file_.begin_if(Rule{{.negated = pattern->negated}, std::move(pattern->matcher), {}});
  }

  void end_if(std::string_view rest) {
    if (!file_.end_if()) {
      warn("ignoring ENDIF without matching IF");
    } else if (!rest.empty()) {
      warn("ignoring extra text after ENDIF");
    }
  }

  void rule(std::string_view line) {
    std::optional<Pattern> pattern = take_pattern(line);
    if (!pattern) { return; }
    if (line.empty()) { warn("no replacement text: using empty string"); }
    std::vector<PatternRules::Piece> result;
    if (!take_result(line, *pattern, result)) { return; }
    Rule rule{{.negated = pattern->negated}, std::move(pattern->matcher), std::move(result)};
    rule.wants_groups = std::ranges::any_of(rule.result, [](const auto& piece) { return piece.group != 0; });
    file_.add(std::move(rule));
  }

  /// Takes "[!]/pattern/flags" and the white space after it off `rest`.
  std::optional<Pattern> take_pattern(std::string_view& rest) {
    Pattern pattern;
    pattern.negated = RuleFile<Rule>::take_negations(rest);
    if (rest.empty()) {
      warn("no regexp: skipping this rule");
      return std::nullopt;
    }
    const char delimiter = rest.front();
    std::size_t end = 1;
    while (end < rest.size() && rest[end] != delimiter) { end += rest[end] == '\\' && end + 1 < rest.size() ? 2U : 1U; }
    if (end >= rest.size()) {
      warn(fmt::format("no closing regexp delimiter \"{}\": {}", printable(rest.substr(0, 1)),
                       dialect_.unclosed_ending));
      return std::nullopt;
    }
    const std::string expression(rest.substr(1, end - 1));
    std::size_t flags_end = end + 1;
    while (flags_end < rest.size() && !text::is_space(rest[flags_end])) {
      if (!dialect_.flags.contains(rest[flags_end])) {
        warn(fmt::format("unknown regexp option \"{}\": skipping this rule", printable(rest.substr(flags_end, 1))));
        return std::nullopt;
      }
      ++flags_end;
    }
    auto matcher = dialect_.compile(expression, rest.substr(end + 1, flags_end - end - 1));
    if (!matcher) {
      warn(matcher.error().context);
      return std::nullopt;
    }
    pattern.matcher = *std::move(matcher);
    rest = text::trim(rest.substr(flags_end));
    return pattern;
  }

  /// Splits a result at $1, ${1}, $(1) and $$. False: the rule is bad and was warned about.
  bool take_result(std::string_view text, const Pattern& pattern, std::vector<PatternRules::Piece>& pieces) {
    std::string literal;
    bool bad = false;
    const std::string_view whole = text;
    while (!text.empty()) {
      const std::size_t dollar = std::min(text.find('$'), text.size());
      literal += text.substr(0, dollar);
      text.remove_prefix(dollar);
      if (text.empty()) { break; }
      text.remove_prefix(1);
      if (text.starts_with('$')) {
        literal.push_back('$');
        text.remove_prefix(1);
        continue;
      }
      std::string_view index;
      if (!take_index(text, whole, index)) {
        bad = true;
        break;
      }
      const std::optional<std::size_t> group = group_number(index, pattern, bad);
      if (!group) {
        if (!bad) { return false; }
        continue;
      }
      pieces.push_back({.text = std::exchange(literal, {})});
      pieces.push_back({.text = {}, .group = *group});
    }
    if (bad) {
      warn("bad replacement syntax: skipping this rule");
      return false;
    }
    if (!literal.empty()) { pieces.push_back({.text = std::move(literal)}); }
    return true;
  }

  /// Takes the name after '$' off `text`.
  bool take_index(std::string_view& text, std::string_view whole, std::string_view& index) {
    const char open = text.empty() ? '\0' : text.front();
    if (open == '{' || open == '(') {
      const std::size_t close = text.find(open == '{' ? '}' : ')');
      if (close == std::string_view::npos) {
        file_.context().warning(fmt::format("truncated macro reference: \"{}\"", printable(whole)));
        return false;
      }
      index = text.substr(1, close - 1);
      text.remove_prefix(close + 1);
    } else {
      std::size_t end = 0;
      while (end < text.size() && (text::is_alnum(text[end]) || text[end] == '_')) { ++end; }
      index = text.substr(0, end);
      text.remove_prefix(end);
    }
    if (index.empty()) {
      file_.context().warning(fmt::format("empty macro name: \"{}\"", printable(whole)));
      return false;
    }
    return true;
  }

  /// nullopt after a warning; `bad` when "bad replacement syntax" is still to be said.
  std::optional<std::size_t> group_number(std::string_view index, const Pattern& pattern, bool& bad) {
    if (pattern.negated) {
      warn("$number found in negative match replacement text: skipping this rule");
      return std::nullopt;
    }
    if (file_.context().substitution == Substitution::forbidden) {
      warn("regular expression substitution is not allowed: skipping this rule");
      return std::nullopt;
    }
    const auto number = text::parse_unsigned(index);
    if (!number) {
      warn(fmt::format("non-numeric replacement index \"{}\"", printable(index)));
      bad = true;
      return std::nullopt;
    }
    if (*number == 0) {
      warn(fmt::format("{} \"{}\"", dialect_.zero_index_message, printable(index)));
      bad = true;
      return std::nullopt;
    }
    if (*number > pattern.matcher->group_count()) {
      warn(fmt::format("out of range replacement index \"{}\": skipping this rule", printable(index)));
      return std::nullopt;
    }
    return static_cast<std::size_t>(*number);
  }

  const PatternDialect& dialect_;
  RuleFile<Rule> file_;
};

PatternRules PatternRules::parse(std::string_view name, std::string_view source, const PatternDialect& dialect,
                                 const OpenContext& context) {
  return PatternParser(name, dialect, context).run(source);
}

Result<Found> PatternRules::find(std::string_view key) const {
  Groups groups;
  const Subject subject{.text = key, .folded = text::to_lower(key)};
  SP_TRY(const Rule* rule, first_match(rules_, [&](const Rule& candidate) -> Result<bool> {
           if (!candidate.matcher->may_match(subject)) { return candidate.negated; }
           SP_TRY(const bool matched, candidate.matcher->matches(key, candidate.wants_groups ? &groups : nullptr));
           return matched != candidate.negated;
         }));
  if (rule == nullptr) { return Found{}; }
  std::string value;
  for (const Piece& piece : rule->result) {
    if (piece.group == 0) {
      value += piece.text;
    } else if (piece.group < groups.size() && groups[piece.group].first != std::string_view::npos) {
      const auto [begin, end] = groups[piece.group];
      value += key.substr(begin, end - begin);
    }
    if (value.size() > kValueLimit) {
      return failure("result of a pattern rule is too long", std::errc::value_too_large);
    }
  }
  return Found{std::move(value)};
}

}  // namespace stagepost::maps
