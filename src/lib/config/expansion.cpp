#include "config/expansion.hpp"

#include <compare>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"
#include "config/compatibility_level.hpp"

namespace stagepost::config {
namespace {

bool is_name_character(char c) { return text::is_alnum(c) || c == '_'; }

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

struct Operator {
  std::string_view sign;
  bool less, equal, greater;
  bool level;
};
// Longest first, so that "<=" is not read as "<".
constexpr Operator kOperators[] = {
    {"==level", false, true, false, true}, {"!=level", true, false, true, true}, {"<=level", true, true, false, true},
    {">=level", false, true, true, true},  {"<level", true, false, false, true}, {">level", false, false, true, true},
    {"==", false, true, false, false},     {"!=", true, false, true, false},     {"<=", true, true, false, false},
    {">=", false, true, true, false},      {"<", true, false, false, false},     {">", false, false, true, false},
};

class Expander {
 public:
  Expander(std::string_view whole, const Lookup& lookup, const ExpansionLimits& limits)
      : whole_(whole), lookup_(lookup), limits_(limits) {}

  /// Appends the expansion of `text` to `result`. Recursive, at most limits_.depth deep.
  Result<> expand(std::string_view text, std::size_t depth, std::string& result) {
    if (depth > limits_.depth) { return error("expressions are nested too deeply"); }
    while (!text.empty()) {
      const std::size_t dollar = text.find('$');
      SP_TRY(append(text.substr(0, dollar), result));
      if (dollar == std::string_view::npos) { return {}; }
      text.remove_prefix(dollar + 1);
      if (text.starts_with('$')) {
        SP_TRY(append("$", result));
        text.remove_prefix(1);
      } else if (text.starts_with('{') || text.starts_with('(')) {
        SP_TRY(const std::string_view inside, take_group(text));
        SP_TRY(expand_group(inside, depth, result));
      } else {
        const std::string_view name = take_name(text);
        if (name.empty()) { return error("\"$\" without a name"); }
        SP_TRY(const std::string value, value_of(name));
        SP_TRY(append(value, result));
      }
    }
    return {};
  }

 private:
  std::unexpected<Error> error(std::string_view what) const {
    return failure(fmt::format("{} in \"{}\"", what, printable(whole_)));
  }

  Result<> append(std::string_view text, std::string& result) const {
    if (text.size() > limits_.result_bytes || result.size() > limits_.result_bytes - text.size()) {
      return error(fmt::format("expansion is longer than {} bytes", limits_.result_bytes));
    }
    result += text;
    return {};
  }

  Result<std::string> value_of(std::string_view name) const {
    SP_TRY(std::optional<std::string> value, lookup_(name));
    return std::move(value).value_or(std::string());
  }

  static std::string_view take_name(std::string_view& text) {
    std::size_t end = 0;
    while (end < text.size() && is_name_character(text[end])) { ++end; }
    const std::string_view name = text.substr(0, end);
    text.remove_prefix(end);
    return name;
  }

  static void skip_space(std::string_view& text) {
    while (!text.empty() && text::is_space(text.front())) { text.remove_prefix(1); }
  }

  /// Takes a group that starts with "{" or "(" up to its counterpart; gives what is inside.
  Result<std::string_view> take_group(std::string_view& text) const {
    const char open = text.front();
    const char close = open == '{' ? '}' : ')';
    std::size_t nesting = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == open) {
        ++nesting;
      } else if (text[i] == close && --nesting == 0) {
        const std::string_view inside = text.substr(1, i - 1);
        text.remove_prefix(i + 1);
        return inside;
      }
    }
    return error(fmt::format("missing \"{}\"", close));
  }

  /// Inside of ${...}: a name or a comparison, then what to put when it holds and when it does not.
  Result<> expand_group(std::string_view inside, std::size_t depth, std::string& result) {
    skip_space(inside);
    bool holds = false;
    std::optional<std::string> value;
    if (inside.starts_with('{')) {
      SP_TRY(holds, compare(inside, depth));
    } else {
      const std::string_view name = take_name(inside);
      if (name.empty()) { return error("\"${}\" without a name"); }
      SP_TRY(value, value_of(name));
      holds = !value->empty();
    }
    skip_space(inside);
    if (inside.empty()) {
      // A bare comparison is "true" or nothing.
      return append(value ? std::string_view(*value) : holds ? "true" : "", result);
    }
    const char mark = inside.front();
    if (mark != '?' && mark != ':') { return error(fmt::format("unexpected \"{}\"", printable(inside))); }
    inside.remove_prefix(1);
    SP_TRY(const std::string_view first, take_alternative(inside));
    std::string_view second;
    if (mark == '?' && !inside.empty()) {
      if (inside.front() != ':') { return error(fmt::format("\":\" expected instead of \"{}\"", printable(inside))); }
      inside.remove_prefix(1);
      SP_TRY(second, take_alternative(inside));
    }
    if (!inside.empty()) { return error(fmt::format("unexpected \"{}\"", printable(inside))); }
    const std::string_view chosen = mark == '?' ? (holds ? first : second) : (holds ? std::string_view() : first);
    return expand(chosen, depth + 1, result);
  }

  /// {text} with white space around the braces, or everything that is left.
  Result<std::string_view> take_alternative(std::string_view& text) const {
    std::string_view probe = text;
    skip_space(probe);
    if (!probe.starts_with('{')) { return std::exchange(text, std::string_view()); }
    SP_TRY(const std::string_view inside, take_group(probe));
    skip_space(probe);
    text = probe;
    return inside;
  }

  Result<bool> compare(std::string_view& text, std::size_t depth) {
    std::string left;
    std::string right;
    SP_TRY(const std::string_view left_text, take_group(text));
    SP_TRY(expand(left_text, depth + 1, left));
    skip_space(text);
    const Operator* found = nullptr;
    for (const Operator& candidate : kOperators) {
      if (text.starts_with(candidate.sign)) {
        found = &candidate;
        break;
      }
    }
    if (found == nullptr) {
      return error(fmt::format("a comparison (== != < <= > >=) expected at \"{}\"", printable(text)));
    }
    text.remove_prefix(found->sign.size());
    skip_space(text);
    if (!text.starts_with('{')) { return error(fmt::format("\"{{\" expected at \"{}\"", printable(text))); }
    SP_TRY(const std::string_view right_text, take_group(text));
    SP_TRY(expand(right_text, depth + 1, right));
    SP_TRY(const std::strong_ordering order, order_of(left, right, found->level));
    return (order < 0 && found->less) || (order == 0 && found->equal) || (order > 0 && found->greater);
  }

  Result<std::strong_ordering> order_of(const std::string& left, const std::string& right, bool level) const {
    if (level) {
      const auto a = parse_compatibility_level(left);
      const auto b = parse_compatibility_level(right);
      if (!a || !b) {
        return error(fmt::format("malformed compatibility level syntax: \"{}\"", printable(a ? right : left)));
      }
      return *a <=> *b;
    }
    if (all_digits(left) && all_digits(right)) {
      const auto a = text::parse_unsigned(left);
      const auto b = text::parse_unsigned(right);
      if (!a || !b) { return error(fmt::format("number out of range: \"{}\"", printable(a ? right : left))); }
      return *a <=> *b;
    }
    return left.compare(right) <=> 0;
  }

  std::string_view whole_;
  const Lookup& lookup_;
  ExpansionLimits limits_;
};

}  // namespace

Result<std::string> expand(std::string_view text, const Lookup& lookup, const ExpansionLimits& limits) {
  std::string result;
  SP_TRY(Expander(text, lookup, limits).expand(text, 0, result));
  return result;
}

}  // namespace stagepost::config
