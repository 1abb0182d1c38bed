// See cidr_trie.hpp.
#include "maps/cidr_trie.hpp"

#include <algorithm>
#include <bit>

namespace stagepost::maps {

CidrTrie::Bits CidrTrie::bits_of(const IpBits& address) {
  Bits bits;
  for (std::size_t i = 0; i < 8; ++i) {
    bits.high = bits.high << 8U | address.bytes[i];
    bits.low = bits.low << 8U | address.bytes[i + 8];
  }
  return bits;
}

unsigned CidrTrie::common_prefix(const Bits& a, const Bits& b) {
  if (a.high != b.high) { return static_cast<unsigned>(std::countl_zero(a.high ^ b.high)); }
  return 64 + static_cast<unsigned>(std::countl_zero(a.low ^ b.low));
}

std::uint32_t CidrTrie::make_node(const Bits& bits, unsigned length) {
  nodes_.push_back({.bits = bits, .length = length, .child = {kNone, kNone}, .values = kNone});
  return static_cast<std::uint32_t>(nodes_.size() - 1);
}

void CidrTrie::add(const Network& network, Value value) {
  const Bits bits = bits_of(network.base);
  const unsigned length = network.prefix_bits;
  if (nodes_.empty()) { (void)make_node({}, 0); }
  std::uint32_t at = 0;
  while (nodes_[at].length < length) {
    const unsigned side = bit(bits, nodes_[at].length);
    const std::uint32_t next = nodes_[at].child[side];
    if (next == kNone) {
      const std::uint32_t leaf = make_node(bits, length);
      nodes_[at].child[side] = leaf;
      at = leaf;
      break;
    }
    const unsigned common = std::min({common_prefix(nodes_[next].bits, bits), nodes_[next].length, length});
    if (common < nodes_[next].length) {
      // A node for what both have in common comes in between.
      const std::uint32_t between = make_node(bits, common);
      nodes_[between].child[bit(nodes_[next].bits, common)] = next;
      nodes_[at].child[side] = between;
      at = between;
    } else {
      at = next;
    }
  }
  if (nodes_[at].values == kNone) {
    nodes_[at].values = static_cast<std::uint32_t>(values_.size());
    values_.emplace_back();
  }
  values_[nodes_[at].values].push_back(value);
}

}  // namespace stagepost::maps
