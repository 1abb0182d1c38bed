// Networks of one address family in a tree by their bits (a path-compressed trie): which of them contain an address is
// known after as many steps as there are such networks, however many others there are.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "maps/cidr.hpp"

namespace stagepost::maps {

class CidrTrie {
 public:
  using Value = std::uint32_t;

  /// Values of one network are kept in the order in which they are added.
  void add(const Network& network, Value value);

  /// Calls `visit` with the values of each network that contains `address`, the largest network first.
  template <class Visit>
  void containing(const IpBits& address, Visit visit) const {
    const Bits bits = bits_of(address);
    for (std::uint32_t at = nodes_.empty() ? kNone : 0; at != kNone;) {
      const Node& node = nodes_[at];
      if (common_prefix(node.bits, bits) < node.length) { return; }
      if (!node.values.empty()) { visit(std::span<const Value>(node.values)); }
      if (node.length == address.width()) { return; }
      at = node.child[bit(bits, node.length)];
    }
  }

 private:
  struct Bits {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
  };
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Node {
    Bits bits;
    unsigned length = 0;
    std::array<std::uint32_t, 2> child{kNone, kNone};
    std::vector<Value> values;
  };

  [[nodiscard]] static Bits bits_of(const IpBits& address);
  [[nodiscard]] static unsigned common_prefix(const Bits& a, const Bits& b);
  [[nodiscard]] static unsigned bit(const Bits& bits, unsigned index) {
    return static_cast<unsigned>((index < 64 ? bits.high >> (63 - index) : bits.low >> (127 - index)) & 1U);
  }
  [[nodiscard]] std::uint32_t make_node(const Bits& bits, unsigned length);

  std::vector<Node> nodes_;  ///< [0] is the root: all addresses
};

}  // namespace stagepost::maps
