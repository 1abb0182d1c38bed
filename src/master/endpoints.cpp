// See the header.
#include "master/endpoints.hpp"

#include <algorithm>
#include <ifaddrs.h>
#include <memory>
#include <netdb.h>
#include <optional>

#include <fmt/core.h>

#include "base/text.hpp"
#include "config/snapshot.hpp"

namespace stagepost::master {
namespace {

using config::ServiceType;
using net::Family;
using net::IpAddress;

struct Name {
  std::string host;
  std::string port;
};

/// "port", "host:port", "[host]:port" and, as master(5) shows it, "::1:smtp".
Result<Name> split_name(const std::string& name) {
  if (name.starts_with('[')) {
    const auto end = name.find("]:");
    if (end == std::string::npos || end + 2 == name.size()) {
      return failure(fmt::format("bad service name \"{}\": want [host]:port", name));
    }
    return Name{.host = name.substr(1, end - 1), .port = name.substr(end + 2)};
  }
  const auto colon = name.rfind(':');
  if (colon == std::string::npos) { return Name{.host = {}, .port = name}; }
  if (colon + 1 == name.size()) { return failure(fmt::format("bad service name \"{}\": no port", name)); }
  return Name{.host = name.substr(0, colon), .port = name.substr(colon + 1)};
}

/// "lmtp=24, smtps=submissions=465": every name before the number is one for it.
std::optional<std::string> known_port(const std::string& known, const std::string& port) {
  for (const std::string& entry : config::split_list(known)) {
    const auto parts = text::split_exact(entry, '=');
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      if (text::trim(parts[i]) == port) { return std::string(text::trim(parts.back())); }
    }
  }
  return std::nullopt;
}

Result<std::uint16_t> port_number(const std::string& port, const InetSettings& settings, const NameLookup& lookup) {
  const std::string number = known_port(settings.known_tcp_ports, port).value_or(port);
  const auto value = text::parse_unsigned(number);
  if (!value) { return lookup.port(number); }
  if (*value == 0 || *value > 65535) { return failure(fmt::format("bad port number \"{}\"", number)); }
  return static_cast<std::uint16_t>(*value);
}

bool enabled(const InetSettings& settings, const IpAddress& address) {
  return address.family() == Family::ipv4 ? settings.ipv4 : settings.ipv6;
}

std::vector<IpAddress> wildcards() { return {IpAddress(), *IpAddress::parse("::")}; }

Result<std::vector<IpAddress>> interface_addresses(const std::string& name, const NameLookup& lookup) {
  if (text::iequals(name, "all")) { return wildcards(); }
  if (text::iequals(name, "loopback-only")) { return lookup.loopback(); }
  const bool bracketed = name.size() > 2 && name.starts_with('[') && name.ends_with(']');
  return lookup.host(bracketed ? name.substr(1, name.size() - 2) : name);
}

Result<std::vector<ListenSpec>> inet_specs(const config::ServiceEntry& entry, const InetSettings& settings,
                                           const NameLookup& lookup) {
  SP_TRY(const Name name, split_name(entry.name));
  SP_TRY(const std::uint16_t port, port_number(name.port, settings, lookup));
  std::vector<IpAddress> addresses;
  if (!name.host.empty()) {
    SP_TRY(addresses, lookup.host(name.host));
  } else {
    for (const std::string& interface : settings.interfaces) {
      SP_TRY(const auto more, interface_addresses(interface, lookup));
      addresses.insert(addresses.end(), more.begin(), more.end());
    }
  }
  std::vector<ListenSpec> specs;
  for (const IpAddress& address : addresses) {
    const net::Endpoint endpoint{.address = address, .port = port};
    const bool known =
        std::any_of(specs.begin(), specs.end(), [&](const ListenSpec& spec) { return spec.endpoint == endpoint; });
    if (enabled(settings, address) && !known) {
      specs.push_back({.type = ServiceType::inet, .endpoint = endpoint, .path = {}});
    }
  }
  if (specs.empty()) {
    return failure(fmt::format("service \"{}\": no address that inet_interfaces and inet_protocols allow", entry.name));
  }
  return specs;
}

Result<std::vector<IpAddress>> look_up_host(const std::string& host) {
  if (const auto literal = IpAddress::parse(host)) { return std::vector<IpAddress>{*literal}; }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); code != 0) {
    return failure(fmt::format("host not found: {}: {}", host, ::gai_strerror(code)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(list, ::freeaddrinfo);
  std::vector<IpAddress> addresses;
  for (const addrinfo* item = list; item != nullptr; item = item->ai_next) {
    if (const auto endpoint = net::Endpoint::from_sockaddr(item->ai_addr)) { addresses.push_back(endpoint->address); }
  }
  return addresses;
}

Result<std::vector<IpAddress>> loopback_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) { return errno_failure("getifaddrs"); }
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(list, ::freeifaddrs);
  std::vector<IpAddress> addresses;
  for (const ifaddrs* item = list; item != nullptr; item = item->ifa_next) {
    if (item->ifa_addr == nullptr) { continue; }
    const auto endpoint = net::Endpoint::from_sockaddr(item->ifa_addr);
    if (endpoint && endpoint->address.is_loopback()) { addresses.push_back(endpoint->address); }
  }
  return addresses;
}

}  // namespace

std::string ListenSpec::key() const {
  const std::string where = type == ServiceType::inet ? endpoint.bracketed() : path;
  return fmt::format("{} {}", config::to_string(type), where);
}

NameLookup system_lookup() {
  return {.host = look_up_host, .loopback = loopback_addresses, .port = [](const std::string& name) {
            return net::resolve_port(name);
          }};
}

Result<> set_protocols(InetSettings& settings, const std::vector<std::string>& inet_protocols) {
  settings.ipv4 = settings.ipv6 = false;
  for (const std::string& protocol : inet_protocols) {
    const bool all = text::iequals(protocol, "all");
    const bool four = text::iequals(protocol, "ipv4");
    const bool six = text::iequals(protocol, "ipv6");
    if (!all && !four && !six) { return failure(fmt::format("inet_protocols: unknown protocol \"{}\"", protocol)); }
    settings.ipv4 = settings.ipv4 || all || four;
    settings.ipv6 = settings.ipv6 || all || six;
  }
  if (!settings.ipv4 && !settings.ipv6) { return failure("inet_protocols is empty"); }
  return {};
}

Result<std::vector<ListenSpec>> listen_specs(const config::ServiceEntry& entry, const InetSettings& settings,
                                             const NameLookup& lookup) {
  if (entry.type == ServiceType::inet) { return inet_specs(entry, settings, lookup); }
  const std::string path = (entry.private_ ? "private/" : "public/") + entry.name;
  return std::vector<ListenSpec>{{.type = entry.type, .endpoint = {}, .path = path}};
}

bool loopback_only(const std::vector<ListenSpec>& specs) {
  return std::all_of(specs.begin(), specs.end(), [](const ListenSpec& spec) {
    return spec.type != ServiceType::inet || spec.endpoint.address.is_loopback();
  });
}

bool service_disabled(const config::ServiceEntry& entry, const std::vector<std::string>& patterns) {
  const std::string_view type = config::to_string(entry.type);
  const std::string slash = fmt::format("{}/{}", entry.name, type);
  const std::string dot = fmt::format("{}.{}", entry.name, type);
  for (std::string_view pattern : patterns) {
    const bool exempt = pattern.starts_with('!');
    if (exempt) { pattern.remove_prefix(1); }
    if (pattern == type || pattern == slash || pattern == dot) { return !exempt; }
  }
  return false;
}

}  // namespace stagepost::master
