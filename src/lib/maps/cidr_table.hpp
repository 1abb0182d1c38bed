// cidr: tables: values for network blocks, cidr_table(5). The first matching rule counts. Rules are found through a
// trie, so that a list of 100,000 networks costs as much as one of ten; only rules with "!" are tried one by one.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "maps/cidr.hpp"
#include "maps/cidr_trie.hpp"
#include "maps/open.hpp"
#include "maps/rule_file.hpp"
#include "maps/table.hpp"

namespace stagepost::maps {

class CidrRules {
 public:
  /// Never fails: bad rules are warned about and skipped.
  [[nodiscard]] static CidrRules parse(std::string_view name, std::string_view source, const OpenContext& context);
  /// A key that is not an IP address is not found.
  [[nodiscard]] Found find(std::string_view key) const;
  /// The same answer by trying rule after rule, which find() must agree with.
  [[nodiscard]] Found find_by_scan(std::string_view key) const;

 private:
  friend class CidrParser;
  static constexpr std::size_t kNoIf = SIZE_MAX;
  struct Rule : RuleFrame {
    Network network;
    std::string result;
    std::size_t inside = kNoIf;  ///< the IF around it
  };
  void build_index();
  [[nodiscard]] static bool applies(const Rule& rule, const IpBits& address);
  [[nodiscard]] bool reached(const Rule& rule, const IpBits& address) const;

  std::vector<Rule> rules_;
  std::array<CidrTrie, 2> tries_;     ///< by Family: rules without "!"
  std::vector<std::size_t> negated_;  ///< rules with "!", in order
};

[[nodiscard]] Result<std::unique_ptr<Table>> open_cidr(std::string_view name, const OpenContext& context);

}  // namespace stagepost::maps
