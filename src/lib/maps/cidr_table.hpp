// cidr: tables: values for network blocks, cidr_table(5). The first matching rule counts. A table without "!" and "if"
// is searched through an index by prefix length, so that a list of 100,000 networks costs a few hash probes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "maps/cidr.hpp"
#include "maps/open.hpp"
#include "maps/table.hpp"

namespace stagepost::maps {

class CidrRules {
 public:
  /// Never fails: bad rules are warned about and skipped.
  [[nodiscard]] static CidrRules parse(std::string_view name, std::string_view source, const OpenContext& context);
  /// A key that is not an IP address is not found.
  [[nodiscard]] Found find(std::string_view key) const;

 private:
  friend class CidrParser;
  struct Rule {
    bool is_if = false;
    bool negated = false;
    Network network;
    std::string result = {};
    std::size_t end = 0;  ///< of an IF: the first rule after its ENDIF
  };
  struct BitsHash {
    std::size_t operator()(const IpBits& bits) const {
      return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bits.bytes.data()), bits.bytes.size()});
    }
  };
  /// The first rule of each network that has this family and prefix length.
  struct Level {
    Family family;
    unsigned prefix_bits;
    std::unordered_map<IpBits, std::size_t, BitsHash> first_rule;
  };
  void build_index();

  std::vector<Rule> rules_;
  std::vector<Level> levels_;
  bool indexed_ = false;
};

[[nodiscard]] Result<std::unique_ptr<Table>> open_cidr(std::string_view name, const OpenContext& context);

}  // namespace stagepost::maps
