// See cidr.hpp.
#include "maps/cidr.hpp"

#include <arpa/inet.h>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::maps {

std::optional<IpBits> IpBits::parse(std::string_view text) {
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN || text.contains('\0')) { return std::nullopt; }
  const std::string copy(text);
  IpBits bits;
  bits.family = text.contains(':') ? Family::ipv6 : Family::ipv4;
  const int family = bits.family == Family::ipv6 ? AF_INET6 : AF_INET;
  if (::inet_pton(family, copy.c_str(), bits.bytes.data()) != 1) { return std::nullopt; }
  return bits;
}

std::string IpBits::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  ::inet_ntop(family == Family::ipv6 ? AF_INET6 : AF_INET, bytes.data(), buffer.data(), buffer.size());
  return buffer.data();
}

IpBits IpBits::prefix(unsigned bits) const {
  IpBits result = *this;
  for (std::size_t i = 0; i < result.bytes.size(); ++i) {
    const unsigned first = static_cast<unsigned>(i) * 8;
    if (first >= bits) {
      result.bytes[i] = 0;
    } else if (bits - first < 8) {
      result.bytes[i] = static_cast<std::uint8_t>(result.bytes[i] & (0xff00U >> (bits - first)));
    }
  }
  return result;
}

Result<Network> Network::parse(std::string_view pattern) {
  // "[address]/bits", "[address/bits]" and "address/bits" mean the same.
  std::string plain;
  if (pattern.starts_with('[')) {
    const std::size_t close = pattern.find(']');
    if (close == std::string_view::npos) {
      return failure(fmt::format("missing ']' character after \"{}\"", printable(pattern)));
    }
    const std::string_view after = pattern.substr(close + 1);
    if (!after.empty() && after.front() != '/') {
      return failure(fmt::format("garbage after \"{}\"", printable(pattern.substr(0, close + 1))));
    }
    plain = std::string(pattern.substr(1, close - 1)) + std::string(after);
  } else {
    plain = std::string(pattern);
  }
  const std::size_t slash = plain.find('/');
  const auto address = IpBits::parse(std::string_view(plain).substr(0, slash));
  std::optional<std::uint64_t> bits;
  if (slash != std::string::npos) {
    bits = text::parse_unsigned(std::string_view(plain).substr(slash + 1));
    if (!bits) { return failure(fmt::format("bad mask value in \"{}\"", printable(plain))); }
  }
  if (!address) { return failure(fmt::format("bad address pattern: \"{}\"", printable(plain))); }
  if (bits.value_or(0) > address->width()) {
    return failure(fmt::format("bad mask length in \"{}\"", printable(plain)));
  }
  const Network network{.base = *address, .prefix_bits = static_cast<unsigned>(bits.value_or(address->width()))};
  const IpBits masked = address->prefix(network.prefix_bits);
  if (masked != *address) {
    return failure(fmt::format("non-null host address bits in \"{}\", perhaps you should use \"{}/{}\" instead",
                               printable(plain), masked.to_string(), network.prefix_bits));
  }
  return network;
}

bool Network::contains(const IpBits& address) const {
  return address.family == base.family && address.prefix(prefix_bits) == base;
}

}  // namespace stagepost::maps
