#include "net/endpoint.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>

#include "base/text.hpp"

namespace stagepost::net {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) { return std::nullopt; }
  const std::string copy(text);
  unsigned char bytes[16];
  if (::inet_pton(AF_INET, copy.c_str(), bytes) == 1) { return from_bytes(Family::ipv4, bytes); }
  if (::inet_pton(AF_INET6, copy.c_str(), bytes) == 1) { return from_bytes(Family::ipv6, bytes); }
  return std::nullopt;
}

IpAddress IpAddress::from_bytes(Family family, const unsigned char* bytes) {
  static constexpr unsigned char kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  IpAddress result;
  if (family == Family::ipv6 && std::memcmp(bytes, kMapped, sizeof kMapped) == 0) {
    return from_bytes(Family::ipv4, bytes + 12);
  }
  result.family_ = family;
  std::copy_n(bytes, result.size_bytes(), result.bytes_.begin());
  return result;
}

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(family_ == Family::ipv4 ? AF_INET : AF_INET6, bytes_.data(), buffer, sizeof buffer);
  return buffer;
}

bool IpAddress::is_loopback() const {
  if (family_ == Family::ipv4) { return bytes_[0] == 127; }
  return std::all_of(bytes_.begin(), bytes_.begin() + 15, [](unsigned char b) { return b == 0; }) && bytes_[15] == 1;
}

bool IpAddress::is_any() const {
  return std::ranges::all_of(bytes_, [](unsigned char b) { return b == 0; });
}

bool IpAddress::matches(const IpAddress& network, unsigned prefix_bits) const {
  if (family_ != network.family_ || prefix_bits > size_bytes() * 8) { return false; }
  const std::size_t whole = prefix_bits / 8;
  if (!std::equal(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(whole), network.bytes_.begin())) {
    return false;
  }
  const unsigned rest = prefix_bits % 8;
  if (rest == 0) { return true; }
  const auto mask = static_cast<unsigned char>(0xffU << (8 - rest));
  return (bytes_.at(whole) & mask) == (network.bytes_.at(whole) & mask);
}

std::optional<Endpoint> Endpoint::from_sockaddr(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return Endpoint{IpAddress::from_bytes(Family::ipv4, reinterpret_cast<const unsigned char*>(&v4.sin_addr)),
                    ntohs(v4.sin_port)};
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    return Endpoint{IpAddress::from_bytes(Family::ipv6, v6.sin6_addr.s6_addr), ntohs(v6.sin6_port)};
  }
  return std::nullopt;
}

socklen_t Endpoint::to_sockaddr(sockaddr_storage& storage) const {
  storage = {};
  if (address.family() == Family::ipv4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes().data(), 4);
    std::memcpy(&storage, &v4, sizeof v4);
    return sizeof v4;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes().data(), 16);
  std::memcpy(&storage, &v6, sizeof v6);
  return sizeof v6;
}

std::string Endpoint::bracketed() const { return "[" + address.text() + "]:" + std::to_string(port); }

Result<HostPort> HostPort::parse(std::string_view text, Bare bare) {
  HostPort result;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) { return failure("missing \"]\" in \"" + std::string(text) + "\""); }
    result.bracketed = true;
    result.host = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
    if (text.empty()) { return result; }
    if (!text.starts_with(':') || text.size() == 1) {
      return failure("garbage after \"]\" in \"" + std::string(text) + "\"");
    }
    result.port = text.substr(1);
    return result;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    (bare == Bare::is_host ? result.host : result.port) = text;
    return result;
  }
  // A second colon without brackets is an IPv6 address.
  if (text.find(':') != colon) {
    if (!IpAddress::parse(text)) { return failure("bad host:port \"" + std::string(text) + "\""); }
    result.host = text;
    return result;
  }
  if (colon + 1 == text.size()) { return failure("missing port in \"" + std::string(text) + "\""); }
  result.host = text.substr(0, colon);
  result.port = text.substr(colon + 1);
  return result;
}

Result<std::uint16_t> resolve_port(std::string_view port) {
  if (const auto number = text::parse_unsigned(port)) {
    if (*number == 0 || *number > 65535) { return failure("bad port number \"" + std::string(port) + "\""); }
    return static_cast<std::uint16_t>(*number);
  }
  servent storage{};
  servent* found = nullptr;
  char buffer[2048];
  if (::getservbyname_r(std::string(port).c_str(), "tcp", &storage, buffer, sizeof buffer, &found) != 0 ||
      found == nullptr) {
    return failure("unknown service \"" + std::string(port) + "/tcp\"");
  }
  return ntohs(static_cast<std::uint16_t>(found->s_port));
}

}  // namespace stagepost::net
