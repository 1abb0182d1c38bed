#include "dns/hosts_file.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace stagepost::dns {

HostsFile HostsFile::parse(std::string_view text, std::size_t limit_lines) {
  HostsFile hosts;
  for (std::size_t line = 0; line < limit_lines && !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view content = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    content = content.substr(0, content.find('#'));
    const auto fields = text::split(content, " \t\r");
    if (fields.size() < 2) { continue; }
    const auto address = net::IpAddress::parse(fields[0]);
    if (!address) { continue; }
    hosts.names_.try_emplace(*address, fields[1]);
    for (std::size_t i = 1; i < fields.size(); ++i) {
      auto& list = hosts.addresses_[text::to_lower(fields[i])];
      if (std::ranges::find(list, *address) == list.end()) { list.push_back(*address); }
    }
  }
  return hosts;
}

std::string HostsFile::name_of(const net::IpAddress& address) const {
  const auto found = names_.find(address);
  return found == names_.end() ? std::string() : found->second;
}

std::vector<net::IpAddress> HostsFile::addresses_of(std::string_view name) const {
  const auto found = addresses_.find(text::to_lower(name));
  return found == addresses_.end() ? std::vector<net::IpAddress>() : found->second;
}

}  // namespace stagepost::dns
