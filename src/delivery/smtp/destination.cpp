#include "delivery/smtp/destination.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/text.hpp"
#include "mail/hostname.hpp"

namespace stagepost::smtp_client {

std::vector<std::string> split_destinations(std::string_view nexthop) {
  std::vector<std::string> out;
  std::string current;
  bool bracket = false;
  for (const char c : nexthop) {
    bracket = (bracket || c == '[') && c != ']';
    if (!bracket && (c == ',' || text::is_space(c))) {
      if (!current.empty()) { out.push_back(std::exchange(current, {})); }
      continue;
    }
    current += c;
  }
  if (!current.empty()) { out.push_back(std::move(current)); }
  return out;
}

Result<Destination> parse_destination(std::string_view text, const Settings& settings) {
  const auto bad = [&](std::string_view why) { return failure(fmt::format("bad destination \"{}\": {}", text, why)); };
  Destination destination;
  destination.text = text;
  if (settings.protocol == Protocol::lmtp) {
    if (text::istarts_with(text, "unix:")) {
      destination.is_unix = true;
      destination.lookup_mx = false;
      destination.path = text.substr(5);
      if (destination.path.empty()) { return bad("no socket path"); }
      return destination;
    }
    if (text::istarts_with(text, "inet:")) { text.remove_prefix(5); }
  }
  auto parsed = net::HostPort::parse(text, net::HostPort::Bare::is_host);
  if (!parsed) { return bad(parsed.error().context); }
  std::string_view host = parsed->host;
  if (parsed->bracketed && text::istarts_with(host, "ipv6:")) { host.remove_prefix(5); }
  if (host.empty()) { return bad("no host name"); }
  const auto ascii = mail::domain_to_ascii(host);
  if (!ascii) { return bad("not a host name"); }
  destination.host = *ascii;
  const auto port = net::resolve_port(parsed->port.empty() ? settings.default_port : parsed->port);
  if (!port) { return bad(port.error().context); }
  destination.port = *port;
  destination.lookup_mx = !parsed->bracketed && settings.protocol == Protocol::smtp && !settings.dns_disabled &&
                          !net::IpAddress::parse(destination.host);
  return destination;
}

namespace {

/// A stable sort: equal keys keep their order. (libstdc++'s own uses a function that C++23 deprecates.)
template <class Key>
void sort_by(std::vector<Candidate>& candidates, Key key) {
  std::multimap<decltype(key(candidates.front())), Candidate> sorted;
  for (auto& candidate : candidates) {
    const auto k = key(candidate);
    sorted.emplace(k, std::move(candidate));
  }
  candidates.clear();
  for (auto& [k, candidate] : sorted) { candidates.push_back(std::move(candidate)); }
}

}  // namespace

void order_candidates(std::vector<Candidate>& candidates, const Settings& settings, std::mt19937& random) {
  if (settings.randomize_addresses) { std::ranges::shuffle(candidates, random); }
  const auto wanted = settings.preference == AddressPreference::ipv6 ? net::Family::ipv6 : net::Family::ipv4;
  sort_by(candidates, [&](const Candidate& c) {
    const bool second = settings.preference != AddressPreference::any && c.address.family() != wanted;
    return std::pair(c.preference, second);
  });
}

void limit_candidates(std::vector<Candidate>& candidates, const Settings& settings) {
  const std::size_t limit = settings.address_limit;
  if (limit == 0 || candidates.size() <= limit) { return; }
  if (settings.balance_protocols && settings.preference == AddressPreference::any && limit > 1) {
    const auto v6 = [](const Candidate& c) { return c.address.family() == net::Family::ipv6; };
    const auto head_end = candidates.begin() + static_cast<std::ptrdiff_t>(limit);
    const auto in_head = static_cast<std::size_t>(std::count_if(candidates.begin(), head_end, v6));
    if (in_head == 0 || in_head == limit) {
      // One family fills all places: the other gets up to half of them, in their own order of preference.
      const bool missing_v6 = in_head == 0;
      std::vector<Candidate> others;
      std::copy_if(head_end, candidates.end(), std::back_inserter(others),
                   [&](const Candidate& c) { return v6(c) == missing_v6; });
      others.resize(std::min(others.size(), limit / 2));
      candidates.resize(limit - others.size());
      candidates.insert(candidates.end(), others.begin(), others.end());
      sort_by(candidates, [](const Candidate& c) { return c.preference; });
      return;
    }
  }
  candidates.resize(limit);
}

bool is_self(const Candidate& candidate, const Self& self) {
  return text::iequals(candidate.host, self.myhostname) ||
         std::ranges::find(self.addresses, candidate.address) != self.addresses.end();
}

bool drop_self_and_worse(std::vector<Candidate>& candidates, const Self& self) {
  std::optional<std::uint16_t> own;
  for (const Candidate& candidate : candidates) {
    if (is_self(candidate, self) && (!own || candidate.preference < *own)) { own = candidate.preference; }
  }
  if (!own) { return false; }
  std::erase_if(candidates, [&](const Candidate& c) { return c.preference >= *own; });
  return true;
}

std::string host_and_address(std::string_view host, std::string_view address) {
  return fmt::format("{}[{}]", host, address);
}

}  // namespace stagepost::smtp_client
