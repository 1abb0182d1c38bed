// pcre: tables: Perl-compatible regular expressions with PCRE2's JIT compiler, pcre_table(5).
#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>

#include <fmt/format.h>
#include <pcre2.h>

#include "maps/pattern_rules.hpp"

namespace stagepost::maps {
namespace {

// A pattern that backtracks more than this fails the lookup instead of stopping the daemon.
constexpr std::uint32_t kMatchLimit = 5'000'000;
constexpr std::uint32_t kDepthLimit = 100'000;

struct CodeFree {
  void operator()(pcre2_code* code) const { ::pcre2_code_free(code); }
};
struct MatchDataFree {
  void operator()(pcre2_match_data* data) const { ::pcre2_match_data_free(data); }
};
struct MatchContextFree {
  void operator()(pcre2_match_context* context) const { ::pcre2_match_context_free(context); }
};

std::string error_text(int error) {
  std::array<unsigned char, 256> text{};
  ::pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

std::uint32_t option_of(char flag) {
  switch (flag) {
    case 'i':
      return PCRE2_CASELESS;
    case 'm':
      return PCRE2_MULTILINE;
    case 's':
      return PCRE2_DOTALL;
    case 'x':
      return PCRE2_EXTENDED;
    case 'A':
      return PCRE2_ANCHORED;
    case 'E':
      return PCRE2_DOLLAR_ENDONLY;
    case 'U':
      return PCRE2_UNGREEDY;
    default:
      return 0;  // X means nothing to PCRE2
  }
}

class PcreMatcher final : public Matcher {
 public:
  static Result<std::unique_ptr<Matcher>> compile(const std::string& pattern, std::string_view flags) {
    std::uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL;
    for (const char flag : flags) { options ^= option_of(flag); }
    auto matcher = std::make_unique<PcreMatcher>();
    int error = 0;
    std::size_t offset = 0;
    matcher->code_.reset(::pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &error,
                                         &offset, nullptr));
    if (!matcher->code_) { return failure(fmt::format("error in regex at offset {}: {}", offset, error_text(error))); }
    // Without JIT (no support, or no memory that may be executed) the interpreter does the same, slower.
    matcher->jit_ = ::pcre2_jit_compile(matcher->code_.get(), PCRE2_JIT_COMPLETE) == 0;
    matcher->data_.reset(::pcre2_match_data_create_from_pattern(matcher->code_.get(), nullptr));
    matcher->context_.reset(::pcre2_match_context_create(nullptr));
    if (!matcher->data_ || !matcher->context_) { return failure("out of memory", std::errc::not_enough_memory); }
    ::pcre2_set_match_limit(matcher->context_.get(), kMatchLimit);
    ::pcre2_set_depth_limit(matcher->context_.get(), kDepthLimit);
    return std::unique_ptr<Matcher>(std::move(matcher));
  }

  Result<bool> matches(std::string_view subject, Groups* groups) const override {
    const std::string_view safe = subject.data() == nullptr ? std::string_view("") : subject;
    const auto* text = reinterpret_cast<PCRE2_SPTR>(safe.data());
    int count = PCRE2_ERROR_JIT_STACKLIMIT;
    if (jit_) { count = ::pcre2_jit_match(code_.get(), text, safe.size(), 0, 0, data_.get(), context_.get()); }
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) {
      // The interpreter has memory where the compiled code has a small stack.
      count = ::pcre2_match(code_.get(), text, safe.size(), 0, PCRE2_NO_JIT, data_.get(), context_.get());
    }
    if (count == PCRE2_ERROR_NOMATCH) { return false; }
    if (count < 0) {
      return failure(fmt::format("regular expression: {}", error_text(count)),
                     std::errc::resource_unavailable_try_again);
    }
    if (groups != nullptr) {
      groups->clear();
      const PCRE2_SIZE* offsets = ::pcre2_get_ovector_pointer(data_.get());
      for (std::size_t i = 0; i < ::pcre2_get_ovector_count(data_.get()); ++i) {
        // \K in a look-ahead can put the start behind the end.
        const bool took_part = offsets[2 * i] != PCRE2_UNSET && offsets[2 * i] <= offsets[2 * i + 1];
        groups->emplace_back(took_part ? offsets[2 * i] : std::string_view::npos, offsets[2 * i + 1]);
      }
    }
    return true;
  }

  std::size_t group_count() const override {
    std::uint32_t count = 0;
    ::pcre2_pattern_info(code_.get(), PCRE2_INFO_CAPTURECOUNT, &count);
    return count;
  }

 private:
  bool jit_ = false;
  std::unique_ptr<pcre2_code, CodeFree> code_;
  std::unique_ptr<pcre2_match_data, MatchDataFree> data_;
  std::unique_ptr<pcre2_match_context, MatchContextFree> context_;
};

constexpr PatternDialect kPcre{.type = "pcre",
                               .flags = "imsxAEUX",
                               .unclosed_ending = "ignoring this rule",
                               .zero_index_message = "out of range replacement index",
                               .compile = PcreMatcher::compile};

}  // namespace

Result<std::unique_ptr<Table>> open_pcre(std::string_view name, const OpenContext& context) {
  return open_rules<PatternContent<kPcre>>("pcre", name, context);
}

}  // namespace stagepost::maps
