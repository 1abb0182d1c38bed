#include "maps/local_domains.hpp"

#include <ifaddrs.h>

#include "base/defer.hpp"
#include "base/text.hpp"
#include "net/endpoint.hpp"

namespace stagepost::maps {
namespace {

/// Addresses of the machine's interfaces ("all"), or those that inet_interfaces names.
std::set<std::string> interface_literals(const config::Snapshot& config) {
  std::set<std::string> literals;
  const auto add = [&](std::string_view text) {
    if (text.starts_with('[') && text.ends_with(']')) { text = text.substr(1, text.size() - 2); }
    if (const auto address = net::IpAddress::parse(text)) { literals.insert(address->text()); }
  };
  bool all = false;
  for (const std::string& item : config.list("inet_interfaces")) {
    if (item == "all") {
      all = true;
    } else if (item == "loopback-only") {
      add("127.0.0.1");
      add("::1");
    } else {
      add(item);
    }
  }
  for (const std::string& item : config.list("proxy_interfaces")) { add(item); }
  ifaddrs* list = nullptr;
  if (all && ::getifaddrs(&list) == 0) {
    const Defer release([list] { ::freeifaddrs(list); });
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
      if (entry->ifa_addr == nullptr) { continue; }
      if (const auto endpoint = net::Endpoint::from_sockaddr(entry->ifa_addr)) {
        literals.insert(endpoint->address.text());
      }
    }
  }
  return literals;
}

}  // namespace

Result<LocalDomains> LocalDomains::create(const config::Snapshot& config, const OpenContext& context) {
  LocalDomains domains;
  const MatchList::Options options{
      .style = MatchStyle::domains,
      .parents = parent_style(config.text("parent_domain_matches_subdomains"), "mydestination")};
  SP_TRY(domains.mydestination_, MatchList::create("mydestination", config.text("mydestination"), options, context));
  domains.literals_ = interface_literals(config);
  domains.myorigin_ = config.text("myorigin");
  return domains;
}

net::Task<Result<bool>> LocalDomains::contains(std::string domain) const {
  if (domain.starts_with('[') && domain.ends_with(']')) {
    std::string_view literal = std::string_view(domain).substr(1, domain.size() - 2);
    if (text::istarts_with(literal, "ipv6:")) { literal.remove_prefix(5); }
    const auto address = net::IpAddress::parse(literal);
    if (address && literals_.contains(address->text())) { co_return true; }
  }
  auto listed = co_await mydestination_.matches({.name = std::move(domain)});
  co_return listed;
}

net::Task<Result<Site>> LocalDomains::site_of(std::string_view address) const {
  const std::size_t at = address.rfind('@');
  if (at == std::string_view::npos) { co_return Site::local; }
  std::string domain(address.substr(at + 1));
  if (text::iequals(domain, myorigin_)) { co_return Site::local; }
  const auto local = co_await contains(std::move(domain));
  if (!local) { co_return std::unexpected(local.error()); }
  co_return *local ? Site::local : Site::other;
}

}  // namespace stagepost::maps
