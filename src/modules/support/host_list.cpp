// See host_list.hpp.
#include "host_list.hpp"

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/safe_text.hpp"

namespace stagepost::maps {

HostList::HostList(std::vector<Host> hosts, Order order, std::chrono::seconds retry)
    : hosts_(std::move(hosts)), order_(order), retry_(retry), states_(hosts_.size()) {}

std::vector<std::size_t> HostList::candidates(SteadyClock::time_point now) const {
  std::vector<std::size_t> places;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      if (hosts_.size() == 1 || !states_[i].retry_at || *states_[i].retry_at <= now) { places.push_back(i); }
    }
  }
  if (order_ != Order::as_listed) {
    std::minstd_rand random(std::random_device{}());
    std::ranges::shuffle(places, random);
  }
  if (order_ == Order::local_then_random) {
    std::ranges::partition(places, [this](std::size_t place) { return hosts_[place].local; });
  }
  return places;
}

void HostList::failed(std::size_t host, std::string reason, SteadyClock::time_point now) {
  const std::lock_guard lock(mutex_);
  states_[host] = {.retry_at = now + retry_, .reason = std::move(reason)};
}

void HostList::succeeded(std::size_t host) {
  const std::lock_guard lock(mutex_);
  states_[host] = {};
}

std::string HostList::reasons() const {
  const std::lock_guard lock(mutex_);
  std::string all;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (states_[i].reason.empty()) { continue; }
    if (!all.empty()) { all += "; "; }
    all += host_failure(hosts_[i].name, states_[i].reason);
  }
  return all;
}

std::string host_failure(std::string_view host, std::string_view reason) {
  // Client libraries write several lines.
  std::string line;
  for (const char c : reason) {
    const bool space = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (!space) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (line.ends_with(' ')) { line.pop_back(); }
  return fmt::format("host {}: {}", printable(host), printable(line));
}

}  // namespace stagepost::maps
