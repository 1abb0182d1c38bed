// The rule files of regexp_table(5) and pcre_table(5): what a line says, and the $1 in its result. Pure; the two
// regular expression engines are behind an interface.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "maps/open.hpp"
#include "maps/rule_file.hpp"
#include "maps/table.hpp"

namespace stagepost::maps {

/// Where the groups of a match are in the subject: [0] is all of it; {npos, npos} for a group that took no part.
using Groups = std::vector<std::pair<std::size_t, std::size_t>>;

/// What patterns are matched against.
struct Subject {
  std::string_view text;
  std::string folded;  ///< the same with ASCII letters in lower case
};

/// One compiled pattern.
class Matcher {
 public:
  Matcher() = default;
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;
  virtual ~Matcher() = default;
  /// False: it surely does not match. A cheap question to ask first.
  [[nodiscard]] virtual bool may_match(const Subject& /*subject*/) const { return true; }
  /// `groups` may be null. Error: the engine gave up (limits), which must not count as "no match".
  [[nodiscard]] virtual Result<bool> matches(std::string_view subject, Groups* groups) const = 0;
  [[nodiscard]] virtual std::size_t group_count() const = 0;
};

/// A regular expression dialect: how a pattern with flags is compiled. Patterns and subjects are bytes, also where text
/// is UTF-8, as in Postfix. Error: its context is the warning's text.
struct PatternDialect {
  std::string_view type;                ///< "regexp"
  std::string_view flags;               ///< those it knows
  std::string_view unclosed_ending;     ///< what the warning about a missing delimiter ends with
  std::string_view zero_index_message;  ///< the warning about $0
  Result<std::unique_ptr<Matcher>> (*compile)(const std::string& pattern, std::string_view flags);
};

/// The parsed and compiled rules of one table: the content of a FileTable.
class PatternRules {
 public:
  /// Never fails: bad rules are warned about and skipped.
  [[nodiscard]] static PatternRules parse(std::string_view name, std::string_view source, const PatternDialect& dialect,
                                          const OpenContext& context);
  [[nodiscard]] Result<Found> find(std::string_view key) const;

 private:
  friend class PatternParser;
  /// A literal, or the number of a group.
  struct Piece {
    std::string text = {};
    std::size_t group = 0;
  };
  struct Rule : RuleFrame {
    std::shared_ptr<const Matcher> matcher;
    std::vector<Piece> result;
    bool wants_groups = false;
  };
  std::vector<Rule> rules_;
};

[[nodiscard]] Result<std::unique_ptr<Table>> open_regexp(std::string_view name, const OpenContext& context);
[[nodiscard]] Result<std::unique_ptr<Table>> open_pcre(std::string_view name, const OpenContext& context);

/// The content of a FileTable whose rules are in the dialect `kDialect`.
template <const PatternDialect& kDialect>
struct PatternContent {
  PatternRules rules;
  static Result<PatternContent> parse(std::string_view name, std::string_view source, const OpenContext& context) {
    return PatternContent{PatternRules::parse(name, source, kDialect, context)};
  }
  Result<Found> find(std::string_view key) const { return rules.find(key); }
};

}  // namespace stagepost::maps
