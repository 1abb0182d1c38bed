// regexp: tables: POSIX regular expressions, regexp_table(5).
#include <array>
#include <regex.h>
#include <span>

#include <fmt/format.h>

#include "maps/pattern_rules.hpp"

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
    return std::unique_ptr<Matcher>(std::move(matcher));
  }

  ~PosixMatcher() override {
    if (compiled_) { ::regfree(&expression_); }
  }

  Result<bool> matches(std::string_view subject, Groups* groups) const override {
    regmatch_t range{};
    std::vector<regmatch_t> parts(groups == nullptr ? 0 : expression_.re_nsub + 1);
    const std::span<regmatch_t> found = groups == nullptr ? std::span(&range, 1) : std::span(parts);
    // REG_STARTEND gives the length, so that the subject may contain NUL and needs none at its end.
    found[0].rm_so = 0;
    found[0].rm_eo = static_cast<regoff_t>(subject.size());
    const std::string_view safe = subject.data() == nullptr ? std::string_view("") : subject;
    const int error =
        ::regexec(&expression_, safe.data(), groups == nullptr ? 0 : found.size(), found.data(), REG_STARTEND);
    if (error == REG_NOMATCH) { return false; }
    if (error != 0) {
      std::array<char, 256> text{};
      ::regerror(error, &expression_, text.data(), text.size());
      return failure(fmt::format("regular expression: {}", text.data()), std::errc::not_enough_memory);
    }
    if (groups != nullptr) {
      groups->clear();
      for (const regmatch_t& group : found) {
        groups->emplace_back(group.rm_so < 0 ? std::string_view::npos : static_cast<std::size_t>(group.rm_so),
                             group.rm_eo < 0 ? std::string_view::npos : static_cast<std::size_t>(group.rm_eo));
      }
    }
    return true;
  }
  std::size_t group_count() const override { return expression_.re_nsub; }

 private:
  regex_t expression_{};
  bool compiled_ = false;
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
