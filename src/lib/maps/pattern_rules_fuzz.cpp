// Fuzz target: rule files of regexp, pcre and cidr tables, and tables in braces. The regular expression engines are
// replaced by a plain substring search: an administrator's pattern may be as slow as it likes, the rule parser may not.
#include <cstdint>
#include <string>

#include "base/assert.hpp"
#include "maps/braces.hpp"
#include "maps/cidr_table.hpp"
#include "maps/open.hpp"
#include "maps/pattern_rules.hpp"

namespace {

using namespace stagepost;
using namespace stagepost::maps;

class Substring final : public Matcher {
 public:
  explicit Substring(std::string pattern) : pattern_(std::move(pattern)) {}
  Result<bool> matches(std::string_view subject, Groups* groups) const override {
    const std::size_t at = subject.find(pattern_);
    if (groups != nullptr && at != std::string_view::npos) {
      *groups = {{at, at + pattern_.size()}, {at, at + pattern_.size()}, {std::string_view::npos, 0}};
    }
    return at != std::string_view::npos;
  }
  std::size_t group_count() const override { return 2; }

 private:
  std::string pattern_;
};

Result<std::unique_ptr<Matcher>> compile(const std::string& pattern, std::string_view /*flags*/) {
  if (pattern.contains('[')) { return failure("no brackets here"); }
  return std::make_unique<Substring>(pattern);
}

constexpr PatternDialect kDialect{.type = "fuzz",
                                  .flags = "imx",
                                  .unclosed_ending = "skipping this rule",
                                  .zero_index_message = "out of range",
                                  .compile = compile};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t split = text.find('\n');
  const std::string_view key = text.substr(0, split);
  const std::string_view source = split == std::string_view::npos ? std::string_view{} : text.substr(split + 1);

  OpenContext context;
  const PatternRules patterns = PatternRules::parse("fuzz", source, kDialect, context);
  SP_ASSERT(patterns.find(key).has_value());
  // What a table without substitution finds, the same table with it finds by an earlier rule or the same one.
  context.substitution = Substitution::forbidden;
  const auto fixed = PatternRules::parse("fuzz", source, kDialect, context).find(key);
  SP_ASSERT(fixed.has_value());

  const CidrRules networks = CidrRules::parse("fuzz", source, context);
  (void)networks.find(key);
  // A rule that never applies makes the table be scanned instead of probed: the answer must be the same.
  const std::string scanned = std::string(source) + "\nendif\nif 255.255.255.255\nendif\n";
  if (!source.contains("if") && !source.contains("IF") && !source.contains("If") && !source.contains("iF")) {
    SP_ASSERT(CidrRules::parse("fuzz", scanned, context).find(key) == networks.find(key));
  }

  (void)inline_rules("fuzz", source);
  if (const auto items = split_outside_braces(source)) {
    for (const std::string_view item : *items) { SP_ASSERT(!item.empty()); }
  }
  for (const char* type : {"inline:", "static:", "randmap:", "unionmap:", "pipemap:"}) {
    const std::string name = type + std::string(key);
    // Members of combined tables may name files; only those in memory are opened here.
    if (key.contains('/') || key.contains("lmdb") || key.contains("texthash") || key.contains("regexp") ||
        key.contains("pcre") || key.contains("cidr") || key.contains("unix")) {
      continue;
    }
    if (const auto table = open(name, context)) { (void)(*table)->find_now("x"); }
  }
  return 0;
}
