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
      // Nodes that only branch are not compared: what is below another's branch fails at the next network.
      if (node.values != kNone) {
        if (!within(bits, node)) { return; }
        visit(std::span<const Value>(values_[node.values]));
      }
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
    std::uint32_t length = 0;
    std::array<std::uint32_t, 2> child{kNone, kNone};
    std::uint32_t values = kNone;  ///< in values_: this is a network, not only a branch
  };

  [[nodiscard]] static Bits bits_of(const IpBits& address);
  [[nodiscard]] static unsigned common_prefix(const Bits& a, const Bits& b);
  [[nodiscard]] static bool within(const Bits& address, const Node& network) {
    const std::uint64_t high = address.high ^ network.bits.high;
    if (network.length <= 64) { return network.length == 0 || high >> (64 - network.length) == 0; }
    return high == 0 && (address.low ^ network.bits.low) >> (128 - network.length) == 0;
  }
  [[nodiscard]] static unsigned bit(const Bits& bits, unsigned index) {
    return static_cast<unsigned>((index < 64 ? bits.high >> (63 - index) : bits.low >> (127 - index)) & 1U);
  }
  [[nodiscard]] std::uint32_t make_node(const Bits& bits, unsigned length);

  std::vector<Node> nodes_;  ///< [0] is the root: all addresses
  std::vector<std::vector<Value>> values_;
};

}  // namespace stagepost::maps
