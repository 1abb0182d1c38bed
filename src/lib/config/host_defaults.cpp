#include "config/host_defaults.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <ifaddrs.h>
#include <iterator>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <span>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "base/safe_text.hpp"
#include "base/text.hpp"

namespace stagepost::config {
namespace {

struct Address {
  int family = AF_UNSPEC;
  std::array<unsigned char, 16> bytes{};
  unsigned prefix = 0;

  [[nodiscard]] std::size_t size() const { return family == AF_INET ? 4 : 16; }
  [[nodiscard]] bool same_host(const Address& other) const { return family == other.family && bytes == other.bytes; }
  [[nodiscard]] bool is_loopback() const {
    static constexpr std::array<unsigned char, 16> kLoopback6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return family == AF_INET ? bytes[0] == 127 : bytes == kLoopback6;
  }
};

std::array<unsigned char, 16> bytes_of(const sockaddr* address) {
  std::array<unsigned char, 16> bytes{};
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof(in));
    std::memcpy(bytes.data(), &in.sin_addr, 4);
  } else {
    sockaddr_in6 in6{};
    std::memcpy(&in6, address, sizeof(in6));
    std::memcpy(bytes.data(), &in6.sin6_addr, 16);
  }
  return bytes;
}

bool is_internet(const sockaddr* address) {
  return address != nullptr && (address->sa_family == AF_INET || address->sa_family == AF_INET6);
}

/// Every interface address with its netmask: IPv4 first, then IPv6, as the system lists them.
Result<std::vector<Address>> interface_addresses() {
  ifaddrs* head = nullptr;
  if (::getifaddrs(&head) < 0) { return errno_failure("getifaddrs"); }
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(head, ::freeifaddrs);
  std::vector<Address> result;
  std::vector<Address> ipv6;
  for (const ifaddrs* entry = head; entry != nullptr; entry = entry->ifa_next) {
    if (!is_internet(entry->ifa_addr)) { continue; }
    Address address{entry->ifa_addr->sa_family, bytes_of(entry->ifa_addr), 0};
    address.prefix = static_cast<unsigned>(address.size() * 8);
    if (is_internet(entry->ifa_netmask)) {
      address.prefix = 0;
      for (const unsigned char byte : bytes_of(entry->ifa_netmask)) {
        address.prefix += static_cast<unsigned>(__builtin_popcount(byte));
      }
    }
    (address.family == AF_INET ? result : ipv6).push_back(address);
  }
  result.insert(result.end(), ipv6.begin(), ipv6.end());
  return result;
}

Result<std::vector<Address>> resolve(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* head = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &head); error != 0) {
    return failure(fmt::format("inet_interfaces: host not found: {}: {}", printable(host), ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(head, ::freeaddrinfo);
  std::vector<Address> result;
  for (const addrinfo* entry = head; entry != nullptr; entry = entry->ai_next) {
    if (is_internet(entry->ai_addr)) { result.push_back({entry->ai_addr->sa_family, bytes_of(entry->ai_addr), 0}); }
  }
  return result;
}

Result<std::vector<Address>> select(const std::vector<Address>& own, std::string_view inet_interfaces) {
  if (text::iequals(inet_interfaces, "all")) { return own; }
  std::vector<Address> wanted;
  const bool loopback_only = text::iequals(inet_interfaces, "loopback-only");
  if (!loopback_only) {
    for (std::string_view name : text::split(inet_interfaces, ", \t\r\n")) {
      if (name.size() > 2 && name.front() == '[' && name.back() == ']') { name = name.substr(1, name.size() - 2); }
      SP_TRY(const std::vector<Address> addresses, resolve(std::string(name)));
      wanted.insert(wanted.end(), addresses.begin(), addresses.end());
    }
  }
  std::vector<Address> result;
  std::ranges::copy_if(own, std::back_inserter(result), [&](const Address& address) {
    return loopback_only ? address.is_loopback()
                         : std::ranges::any_of(wanted, [&](const Address& w) { return w.same_host(address); });
  });
  return result;
}

/// Historic network class of an IPv4 address (RFC 791); IPv6 has none and keeps its netmask.
unsigned class_prefix(const Address& address) {
  if (address.family != AF_INET) { return address.prefix; }
  const unsigned first = address.bytes[0];
  return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 32;
}

std::string network_text(Address address) {
  const unsigned prefix = address.prefix;
  for (unsigned bit = prefix; bit < address.size() * 8; ++bit) {
    address.bytes[bit / 8] = static_cast<unsigned char>(address.bytes[bit / 8] & ~(0x80U >> (bit % 8)));
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(address.family, address.bytes.data(), text.data(), text.size());
  return address.family == AF_INET ? fmt::format("{}/{}", text.data(), prefix)
                                   : fmt::format("[{}]/{}", text.data(), prefix);
}

}  // namespace

std::string host_name() {
  std::array<char, 257> name{};
  if (::gethostname(name.data(), name.size() - 1) < 0 || name[0] == '\0') { return "localhost"; }
  return name.data();
}

std::string domain_of(std::string_view host) {
  const std::size_t dot = host.find('.');
  return dot == std::string_view::npos || dot + 1 == host.size() ? "localdomain" : std::string(host.substr(dot + 1));
}

Result<std::string> own_networks(std::string_view style, std::string_view inet_interfaces,
                                 std::string_view inet_protocols) {
  if (!text::iequals(style, "host") && !text::iequals(style, "subnet") && !text::iequals(style, "class")) {
    return failure(fmt::format("unknown mynetworks_style value \"{}\"", printable(style)));
  }
  bool ipv4 = false;
  bool ipv6 = false;
  for (const std::string_view protocol : text::split(inet_protocols, ", \t\r\n")) {
    const bool all = text::iequals(protocol, "all");
    if (!all && !text::iequals(protocol, "ipv4") && !text::iequals(protocol, "ipv6")) {
      return failure(fmt::format("unknown inet_protocols value \"{}\"", printable(protocol)));
    }
    ipv4 = ipv4 || all || text::iequals(protocol, "ipv4");
    ipv6 = ipv6 || all || text::iequals(protocol, "ipv6");
  }
  SP_TRY(const std::vector<Address> own, interface_addresses());
  SP_TRY(const std::vector<Address> selected, select(own, text::trim(inet_interfaces)));
  std::vector<std::string> networks;
  for (Address address : selected) {
    if (address.family == AF_INET ? !ipv4 : !ipv6) { continue; }
    if (text::iequals(style, "host")) {
      address.prefix = static_cast<unsigned>(address.size() * 8);
    } else if (text::iequals(style, "class")) {
      address.prefix = class_prefix(address);
    }
    std::string network = network_text(address);
    if (std::ranges::find(networks, network) == networks.end()) { networks.push_back(std::move(network)); }
  }
  return text::join(networks, " ");
}

}  // namespace stagepost::config
