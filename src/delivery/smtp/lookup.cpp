#include "delivery/smtp/lookup.hpp"

#include <ifaddrs.h>
#include <map>
#include <netdb.h>

#include <fmt/format.h>

#include "base/defer.hpp"
#include "base/text.hpp"
#include "log/log.hpp"

namespace stagepost::smtp_client {
namespace {

// The DNS library retries by itself; this bounds a delivery whose every MX name is slow.
constexpr std::chrono::seconds kLookupLimit{300};

Failure lookup_failure(std::string_view name, std::string_view type, dns::Status status, std::string_view reason) {
  std::string text = dns::describe_failure(name, type, reason);
  return status == dns::Status::temporary ? temporary("4.4.3", std::move(text)) : permanent("5.4.4", std::move(text));
}

void add_interface_addresses(std::vector<net::IpAddress>& out, bool loopback_only) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) { return; }
  const Defer release([&] { ::freeifaddrs(list); });
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) { continue; }
    const auto endpoint = net::Endpoint::from_sockaddr(entry->ifa_addr);
    if (endpoint && (!loopback_only || endpoint->address.is_loopback())) { out.push_back(endpoint->address); }
  }
}

void add_named_addresses(std::vector<net::IpAddress>& out, const std::string& name) {
  std::string_view bare = name;
  if (bare.starts_with('[') && bare.ends_with(']')) { bare = bare.substr(1, bare.size() - 2); }
  if (const auto address = net::IpAddress::parse(bare)) {
    out.push_back(*address);
    return;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(std::string(bare).c_str(), nullptr, &hints, &list) != 0) {
    log::warning("interface address of host {} not found", name);
    return;
  }
  const Defer release([&] { ::freeaddrinfo(list); });
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (const auto endpoint = net::Endpoint::from_sockaddr(entry->ai_addr)) { out.push_back(endpoint->address); }
  }
}

}  // namespace

Self find_self(const config::Snapshot& config) {
  Self self{.myhostname = config.text("myhostname"), .addresses = {}};
  for (const auto& name : config.list("inet_interfaces")) {
    if (text::iequals(name, "all")) {
      add_interface_addresses(self.addresses, false);
    } else if (text::iequals(name, "loopback-only")) {
      add_interface_addresses(self.addresses, true);
    } else {
      add_named_addresses(self.addresses, name);
    }
  }
  for (const auto& name : config.list("proxy_interfaces")) { add_named_addresses(self.addresses, name); }
  return self;
}

ServerLookup::ServerLookup(dns::Resolver& resolver, const Settings& settings, Self self)
    : resolver_(resolver), settings_(settings), self_(std::move(self)), random_(std::random_device{}()) {}

net::Task<dns::HostAddresses> ServerLookup::addresses(std::string host, Deadline deadline) {
  dns::HostAddresses found;
  if (settings_.lookup_dns && !settings_.dns_disabled) {
    found = co_await resolver_.addresses(host, settings_.families, settings_.dns_options, deadline);
    if (found.status == dns::Status::found || !settings_.lookup_native) { co_return found; }
  }
  dns::HostAddresses native = co_await resolver_.native_addresses(host, settings_.families, deadline);
  // A name that the system does not know may still be one that DNS could not tell us about.
  if (native.status != dns::Status::found && native.status != dns::Status::temporary && settings_.lookup_dns &&
      !settings_.dns_disabled && found.status == dns::Status::temporary) {
    co_return found;
  }
  co_return native;
}

net::Task<Servers> ServerLookup::find_host(std::string host, Deadline deadline) {
  const dns::HostAddresses found = co_await addresses(host, deadline);
  if (found.status != dns::Status::found) {
    const bool by_dns = settings_.lookup_dns && !settings_.lookup_native && !settings_.dns_disabled;
    if (by_dns) { co_return std::unexpected(lookup_failure(host, found.type, found.status, found.reason)); }
    std::string text = fmt::format("unable to look up host {}: {}", host, found.reason);
    co_return std::unexpected(found.status == dns::Status::temporary ? temporary("4.4.3", std::move(text))
                                                                     : permanent("5.4.4", std::move(text)));
  }
  std::vector<Candidate> candidates;
  for (const auto& address : found.addresses) { candidates.push_back({host, address, 0}); }
  co_return candidates;
}

net::Task<Servers> ServerLookup::addresses_of_mx(std::vector<dns::Record> records, Deadline deadline) {
  // Best first, so that a long list of slow names does not keep the good ones waiting.
  std::multimap<std::uint16_t, std::string> hosts;
  for (auto& record : records) { hosts.emplace(record.preference, std::move(record.value)); }
  std::vector<Candidate> candidates;
  std::optional<Failure> failure;
  for (const auto& [preference, host] : hosts) {
    const dns::HostAddresses found = co_await addresses(host, deadline);
    if (found.status == dns::Status::found) {
      for (const auto& address : found.addresses) { candidates.push_back({host, address, preference}); }
    } else if (!failure || found.status == dns::Status::temporary) {
      failure = lookup_failure(host, found.type.empty() ? "A" : found.type, found.status, found.reason);
    }
    // More than a hundred addresses are no mail system's own.
    if (candidates.size() >= 100) { break; }
  }
  if (!candidates.empty()) { co_return candidates; }
  if (failure->permanent && settings_.defer_if_no_mx_address_found) {
    failure->permanent = false;
    failure->status.code = "4.4.4";
  }
  co_return std::unexpected(*failure);
}

net::Task<Servers> ServerLookup::find_mx(Destination destination, Deadline deadline) {
  const dns::Answer mx = co_await resolver_.lookup(destination.host, dns::Type::mx, settings_.dns_options, deadline);
  switch (mx.status) {
    case dns::Status::found: {
      std::vector<dns::Record> records = mx.records;
      if (records.size() == 1 && records.front().value.empty()) {
        co_return std::unexpected(
            permanent("5.1.0", fmt::format("Domain {} does not accept mail (nullMX)", destination.host)));
      }
      std::erase_if(records, [](const dns::Record& record) { return record.value.empty(); });
      if (records.empty()) { break; }
      auto servers = co_await addresses_of_mx(std::move(records), deadline);
      co_return servers;
    }
    case dns::Status::temporary:
      if (settings_.ignore_mx_lookup_error) { break; }
      co_return std::unexpected(lookup_failure(destination.host, "MX", mx.status, mx.reason));
    case dns::Status::invalid:
      if (settings_.ignore_mx_lookup_error) { break; }
      co_return std::unexpected(lookup_failure(destination.host, "MX", mx.status, mx.reason));
    case dns::Status::not_found:
    case dns::Status::no_data:
      break;
  }
  // RFC 5321 §5.1: without MX records the domain's own address is the server.
  auto servers = co_await find_host(destination.host, deadline);
  co_return servers;
}

net::Task<Servers> ServerLookup::find(Destination destination) {
  const Deadline deadline = within(kLookupLimit);
  if (!destination.lookup_mx) {
    auto servers = co_await find_host(destination.host, deadline);
    if (servers) {
      order_candidates(*servers, settings_, random_);
      limit_candidates(*servers, settings_);
    }
    co_return servers;
  }
  auto servers = co_await find_mx(destination, deadline);
  if (!servers) { co_return servers; }
  if (drop_self_and_worse(*servers, self_) && servers->empty()) {
    co_return std::unexpected(permanent("5.4.6", fmt::format("mail for {} loops back to myself", destination.text)));
  }
  order_candidates(*servers, settings_, random_);
  limit_candidates(*servers, settings_);
  co_return servers;
}

}  // namespace stagepost::smtp_client
