// regexp: tables: POSIX regular expressions, regexp_table(5).
#include <algorithm>
#include <array>
#include <cstdlib>
#include <ranges>
#include <regex.h>
#include <span>

#include <fmt/format.h>

#include "base/text.hpp"
#include "maps/pattern_rules.hpp"
#include "maps/required_text.hpp"

namespace stagepost::maps {
namespace {

class PosixMatcher final : public Matcher {
 public:
  static Result<std::unique_ptr<Matcher>> compile(const std::string& pattern, std::string_view flags) {
    if (pattern.contains('\0')) { return failure("NUL in regular expression: skipping this rule"); }
    int options = REG_ICASE | REG_EXTENDED;
    for (const char flag : flags) { options ^= flag == 'i' ? REG_ICASE : flag == 'm' ? REG_NEWLINE : REG_EXTENDED; }
    auto matcher = std::make_unique<PosixMatcher>();
    const int error = ::regcomp(&matcher->expression_, pattern.c_str(), options);
    if (error != 0) {
      std::array<char, 256> text{};
      ::regerror(error, &matcher->expression_, text.data(), text.size());
      return failure(text.data());
    }
    matcher->compiled_ = true;
    // Where letters have more forms than ASCII's two, or the syntax is another, patterns are only matched.
    if ((options & REG_EXTENDED) != 0 && MB_CUR_MAX == 1) {
      matcher->required_ = required_text(pattern);
      matcher->folds_ = (options & REG_ICASE) != 0;
      if (matcher->folds_) {
        for (std::string& piece : matcher->required_) { piece = text::to_lower(piece); }
      }
    }
    return std::unique_ptr<Matcher>(std::move(matcher));
  }

  ~PosixMatcher() override {
    if (compiled_) { ::regfree(&expression_); }
  }

  bool may_match(const Subject& subject) const override {
    const std::string_view text = folds_ ? std::string_view(subject.folded) : subject.text;
    // What tells patterns of a table apart is more often at their end.
    return std::ranges::all_of(required_ | std::views::reverse,
                               [text](const std::string& piece) { return text.contains(piece); });
  }

  Result<bool> matches(std::string_view subject, Groups* groups) const override {
    // Where the parts are is dear to know, and most patterns do not match: it is asked for in a second step.
    regmatch_t range{};
    SP_TRY(const bool matched, run(subject, std::span(&range, 1), 0));
    if (!matched || groups == nullptr) { return matched; }
    std::vector<regmatch_t> parts(expression_.re_nsub + 1);
    SP_TRY(const bool again, run(subject, parts, parts.size()));
    groups->clear();
    for (const regmatch_t& part : parts) {
      groups->emplace_back(part.rm_so < 0 ? std::string_view::npos : static_cast<std::size_t>(part.rm_so),
                           part.rm_eo < 0 ? std::string_view::npos : static_cast<std::size_t>(part.rm_eo));
    }
    return again;
  }
  std::size_t group_count() const override { return expression_.re_nsub; }

 private:
  /// `parts` has at least one element, of which `wanted` are filled.
  Result<bool> run(std::string_view subject, std::span<regmatch_t> parts, std::size_t wanted) const {
    // REG_STARTEND gives the length, so that the subject may contain NUL and needs none at its end.
    parts.front() = {.rm_so = 0, .rm_eo = static_cast<regoff_t>(subject.size())};
    const char* text = subject.data() == nullptr ? "" : subject.data();
    const int error = ::regexec(&expression_, text, wanted, parts.data(), REG_STARTEND);
    if (error == 0 || error == REG_NOMATCH) { return error == 0; }
    std::array<char, 256> reason{};
    ::regerror(error, &expression_, reason.data(), reason.size());
    return failure(fmt::format("regular expression: {}", reason.data()), std::errc::not_enough_memory);
  }

  regex_t expression_{};
  bool compiled_ = false;
  bool folds_ = false;
  std::vector<std::string> required_;
};

constexpr PatternDialect kRegexp{.type = "regexp",
                                 .flags = "imx",
                                 .unclosed_ending = "skipping this rule",
                                 .zero_index_message = "out-of-range replacement index",
                                 .compile = PosixMatcher::compile};

}  // namespace

Result<std::unique_ptr<Table>> open_regexp(std::string_view name, const OpenContext& context) {
  return open_rules<PatternContent<kRegexp>>("regexp", name, context);
}

}  // namespace stagepost::maps
